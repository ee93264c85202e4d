"""Private memory as others see it: AES-128 in XEX form, under a key that nobody else has (APM Vol. 2 15.34.5; how the
tweak is made the manual does not say).

Each block of 16 bytes is AES(key, plaintext xor T) xor T, where T is AES of the block's system-physical address under a
second key. Guest memory itself stays as the guest sees it; ciphertext exists only where somebody looks.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.planes.snp.rmp import Rmp

BLOCK, WINDOW = 16, 1 << 50             # WINDOW: where shared accesses to private pages go, as if to a device
WINDOW_PAGE = WINDOW // PAGE


class HostFault(Exception):
    """#PF of the host for a write to a guest's page: error code."""

    def __init__(self, error: int) -> None:
        super().__init__(f"#PF, error code {error:#x}")
        self.error = error


ERROR_P, ERROR_W, ERROR_RMP = 1, 2, 1 << 31


def view_of(frame: Any, page: Any) -> Any:
    """The page of the window that shows the ciphertext of a system-physical page."""
    return page + WINDOW_PAGE


class Cipher:
    """The host's view of a machine's system-physical memory."""

    def __init__(self, machine: Machine, rmp: Rmp) -> None:
        self._machine, self._rmp = machine, rmp
        machine.pc.bus.add_mmio(WINDOW, machine.memory.top, self, "ciphertext of private memory")

    @cached_property
    def _keys(self) -> tuple[Any, Any]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        digest = hashlib.sha256(b"memory encryption key %d" % self._machine.seed).digest()
        data, tweak = (Cipher(algorithms.AES(half), modes.ECB()).encryptor() for half in (digest[:16], digest[16:]))
        return data, tweak

    def encrypt(self, address: int, plaintext: bytes) -> bytes:
        """Ciphertext of whole blocks at a system-physical address."""
        data, tweak = self._keys
        places = b"".join((address + at).to_bytes(BLOCK, "little") for at in range(0, len(plaintext), BLOCK))
        mask = int.from_bytes(tweak.update(places))
        mixed = (int.from_bytes(plaintext) ^ mask).to_bytes(len(plaintext))
        return (int.from_bytes(data.update(mixed)) ^ mask).to_bytes(len(plaintext))

    def read(self, address: int, size: int) -> bytes:
        """What the host reads: ciphertext where a page is a guest's."""
        found = b""
        while size:
            here = min(size, PAGE - address % PAGE)
            found += self._read(address, here)
            address, size = address + here, size - here
        return found

    def _read(self, address: int, size: int) -> bytes:
        if not self._rmp.covered(address // PAGE) or not self._rmp.assigned[address // PAGE]:
            return self._machine.memory.read(address, size)
        first, end = address & -BLOCK, address + size + BLOCK - 1 & -BLOCK
        return self.encrypt(first, self._machine.memory.read(first, end - first))[address - first:][:size]

    def write(self, address: int, data: bytes) -> None:
        """The host stores. HostFault, and nothing is written, where a page is a guest's."""
        pages = range(address // PAGE, (address + len(data) - 1) // PAGE + 1)
        if any(self._rmp.covered(page) and self._rmp.assigned[page] for page in pages):
            raise HostFault(ERROR_P | ERROR_W | ERROR_RMP)
        self._machine.dma_write(address, data)

    # --- the window, as a device ---------------------------------------------------------------------------------

    def mmio_read(self, offset: int, size: int) -> int:
        """A shared read of a private page."""
        return int.from_bytes(self.read(offset, size), "little")

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        """The RMP lets no such write through."""
