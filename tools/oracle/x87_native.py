"""The host's FPU as an oracle, many cases at a call: a loop of machine code that loads an FXSAVE image, executes one
x87 instruction and saves the image again.

Exceptions never reach the operating system: FXSAVE and FXRSTOR do not wait, and FNINIT ends the loop. The instruction's
memory operand must be [rcx]; RFLAGS after it are kept too.
"""

import ctypes
import mmap

import numpy as np

IMAGE, OPERAND = 512, 128
MXCSR_DEFAULT = 0x1F80
SYSV = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)

# rdi images, rsi results, rdx count -> r9, rcx operands, r8 RFLAGS
PROLOGUE = bytes.fromhex("4989d1")                                  # mov r9, rdx
LOAD = bytes.fromhex("480fae0f")                                    # fxrstor64 [rdi]
SAVE = bytes.fromhex("9c 58 498900 480fae06")                       # pushf; pop rax; mov [r8], rax; fxsave64 [rsi]
NEXT = bytes.fromhex("4881c700020000 4881c600020000 4881c180000000 4983c008 49ffc9")
END = bytes.fromhex("dbe3 c3")                                      # fninit; ret


class NativeX87:
    """One instruction, ready to be executed on many images."""

    def __init__(self, instruction: bytes) -> None:
        body = LOAD + instruction + SAVE + NEXT
        back = -(len(body) + 6)
        code = PROLOGUE + body + b"\x0f\x85" + back.to_bytes(4, "little", signed=True) + END
        self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code[:len(code)] = code
        self._call = SYSV(ctypes.addressof(ctypes.c_char.from_buffer(self._code)))

    def run(self, images: np.ndarray, operands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(images afterwards, RFLAGS afterwards). `images` is n x 512 bytes; `operands`, n x 128 bytes, is changed in
        place by instructions that store."""
        count = len(images)
        source, result = _aligned(count), _aligned(count)
        source[:] = images
        flags = np.zeros(count, np.uint64)
        assert operands.shape == (count, OPERAND) and operands.flags.c_contiguous
        self._call(source.ctypes.data, result.ctypes.data, count, operands.ctypes.data, flags.ctypes.data)
        return result, flags


def _aligned(count: int) -> np.ndarray:
    """Zeroed images at a 16-byte boundary."""
    raw = np.zeros(count * IMAGE + 16, np.uint8)
    start = -raw.ctypes.data % 16
    return raw[start:start + count * IMAGE].reshape(count, IMAGE)
