"""The XSAVE image through which ptrace reads and writes a process's FPU state (SDM Vol. 1 13.4; standard form)."""

from __future__ import annotations

import ctypes
import mmap
import struct

import numpy as np

from tools.oracle.case import OPMASKS, ZMM_BYTES, ZMMS, VectorState

IMAGE_BYTES = 16384
FCW, MXCSR, ST, XMM, XSTATE_BV = 0, 24, 32, 160, 512
X87, SSE, AVX, OPMASK, ZMM_HIGH, HIGH_ZMM = 0, 1, 2, 5, 6, 7        # state components (SDM Vol. 1 13.1)
INITIAL = (0x37F, 0, 0, 0, 0, 0)            # FCW to FDP of the initial configuration
SSE_REGISTERS = 16
# push rbx; mov eax, 0xd; mov ecx, edi; cpuid; mov eax, ebx; pop rbx; ret
CPUID_OFFSET = bytes.fromhex("53 b80d000000 89f9 0fa2 89d8 5b c3")


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def component_offset(component: int) -> int:
    """Where this CPU keeps a component in a standard image, 0 for one that it lacks (CPUID leaf 0xD, EBX)."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code[:len(CPUID_OFFSET)] = CPUID_OFFSET
    return ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(ctypes.addressof(ctypes.c_char.from_buffer(code)))(
        component)


class ExtendedState:
    """An image and the iovec that names it. Other components than those of VectorState keep what the process started
    with. Registers that the CPU lacks read as zero."""

    def __init__(self) -> None:
        self._image = ctypes.create_string_buffer(IMAGE_BYTES)
        self._vector = _IoVector(ctypes.addressof(self._image), IMAGE_BYTES)
        self._initial = b""
        self._components = X87 | 1 << SSE
        self._zmm = np.zeros((ZMMS, ZMM_BYTES), np.uint8)
        self._parts: list[tuple[int, np.ndarray, np.ndarray]] = []      # component, the image's bytes, _zmm's
        self._part(SSE, XMM, slice(0, SSE_REGISTERS), slice(0, 16))
        self._part(AVX, component_offset(AVX), slice(0, SSE_REGISTERS), slice(16, 32))
        self._part(ZMM_HIGH, component_offset(ZMM_HIGH), slice(0, SSE_REGISTERS), slice(32, 64))
        self._part(HIGH_ZMM, component_offset(HIGH_ZMM), slice(SSE_REGISTERS, ZMMS), slice(0, 64))
        self._opmask = component_offset(OPMASK)
        self._components = sum(1 << part[0] for part in self._parts) | 1 << X87 | bool(self._opmask) << OPMASK

    def _part(self, component: int, offset: int, registers: slice, columns: slice) -> None:
        target = self._zmm[registers, columns]
        if offset:
            source = np.frombuffer(memoryview(self._image), np.uint8, target.size, offset).reshape(target.shape)
            self._parts.append((component, source, target))

    @property
    def io_vector(self) -> int:
        """Address of the iovec."""
        return ctypes.addressof(self._vector)

    def allow_all(self) -> None:
        """Let the next read have the image's whole size."""
        self._vector.length = IMAGE_BYTES

    def start(self) -> None:
        """What was just read is what every case starts from. The kernel has set the length to its image's."""
        self._initial = self._image.raw[:self._vector.length]

    def put(self, state: VectorState) -> None:
        """Fill the image for a write."""
        image = self._image
        ctypes.memmove(image, self._initial, len(self._initial))
        top = state.fsw >> 11 & 7
        struct.pack_into("<HHBxHQQI", image, FCW, state.fcw, state.fsw, state.ftw, state.fop, state.fip, state.fdp,
                         state.mxcsr)
        struct.pack_into("<Q", image, XSTATE_BV, self._components)
        turned = state.st[16 * top:] + state.st[:16 * top]
        ctypes.memmove(ctypes.addressof(image) + ST, turned, len(turned))
        self._zmm[:] = np.frombuffer(state.zmm, np.uint8).reshape(ZMMS, ZMM_BYTES)
        for _, inside, registers in self._parts:
            inside[:] = registers
        if self._opmask:
            ctypes.memmove(ctypes.addressof(image) + self._opmask, state.opmask, 8 * OPMASKS)

    def get(self) -> VectorState:
        """The state in the image just read. A component that is in its initial state reads as such."""
        image = self._image
        present, = struct.unpack_from("<Q", image, XSTATE_BV)
        fcw, fsw, ftw, fop, fip, fdp = struct.unpack_from("<HHBxHQQ", image, FCW) if present & 1 << X87 else INITIAL
        st = bytes(128)
        if present & 1 << X87:
            top = fsw >> 11 & 7
            turned = ctypes.string_at(ctypes.addressof(image) + ST, 128)
            st = turned[128 - 16 * top:] + turned[:128 - 16 * top]
        for component, inside, registers in self._parts:
            registers[:] = inside if present & 1 << component else 0
        masks = bytes(8 * OPMASKS)
        if self._opmask and present & 1 << OPMASK:
            masks = ctypes.string_at(ctypes.addressof(image) + self._opmask, 8 * OPMASKS)
        mxcsr, = struct.unpack_from("<I", image, MXCSR)
        return VectorState(mxcsr, self._zmm.tobytes(), st, fcw, fsw, ftw, fop, fip, fdp, masks)
