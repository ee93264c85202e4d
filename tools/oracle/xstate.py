"""The XSAVE image through which ptrace reads and writes a process's FPU state (SDM Vol. 1 13.4, 13.5; standard form)."""

from __future__ import annotations

import ctypes
import struct

from tools.oracle.case import VectorState

IMAGE_BYTES = 16384
FCW, MXCSR, ST, XMM, XSTATE_BV, YMM_HIGH = 0, 24, 32, 160, 512, 576
X87, SSE, AVX = 1, 2, 4
INITIAL = (0x37F, 0, 0, 0, 0, 0)            # FCW to FDP of the initial configuration


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class ExtendedState:
    """An image and the iovec that names it. AVX-512 and later components keep what the process started with."""

    def __init__(self) -> None:
        self._image = ctypes.create_string_buffer(IMAGE_BYTES)
        self._vector = _IoVector(ctypes.addressof(self._image), IMAGE_BYTES)
        self._initial = b""

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
        image = bytearray(self._initial)
        top = state.fsw >> 11 & 7
        image[:MXCSR] = bytes(MXCSR)
        struct.pack_into("<HHBxHQQ", image, FCW, state.fcw, state.fsw, state.ftw, state.fop, state.fip, state.fdp)
        struct.pack_into("<I", image, MXCSR, state.mxcsr)
        struct.pack_into("<Q", image, XSTATE_BV, X87 | SSE | AVX)
        for n in range(8):
            image[ST + 16 * n:ST + 16 * n + 10] = state.st[16 * (n + top & 7):][:10]
        for n in range(16):
            image[XMM + 16 * n:XMM + 16 * n + 16] = state.ymm[32 * n:32 * n + 16]
            image[YMM_HIGH + 16 * n:YMM_HIGH + 16 * n + 16] = state.ymm[32 * n + 16:32 * n + 32]
        ctypes.memmove(self._image, bytes(image), len(image))

    def get(self) -> VectorState:
        """The state in the image just read. A component that is in its initial state reads as such."""
        image = self._image.raw[:self._vector.length]
        present = struct.unpack_from("<Q", image, XSTATE_BV)[0]
        fcw, fsw, ftw, *pointers = struct.unpack_from("<HHBxHQQ", image, FCW) if present & X87 else INITIAL
        top = fsw >> 11 & 7
        st = bytearray(128)
        if present & X87:
            for n in range(8):
                at = 16 * (n + top & 7)
                st[at:at + 10] = image[ST + 16 * n:ST + 16 * n + 10]
        low = image[XMM:XMM + 256] if present & SSE else bytes(256)
        high = image[YMM_HIGH:YMM_HIGH + 256] if present & AVX else bytes(256)
        ymm = b"".join(low[16 * n:16 * n + 16] + high[16 * n:16 * n + 16] for n in range(16))
        return VectorState(struct.unpack_from("<I", image, MXCSR)[0], ymm, bytes(st), fcw, fsw, ftw, *pointers)
