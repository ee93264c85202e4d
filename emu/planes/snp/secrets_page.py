"""The secrets page: keys for messages to the firmware, and what a guest is told about its SVSM (FWABI 8.17.2.5)."""

from __future__ import annotations

from collections.abc import Sequence

from emu.planes.snp.launch import PAGE

VERSION = 4
KEYS, KEY_SIZE = 4, 32
# Offsets; the fields are u32 unless said otherwise
_VERSION, _FMS = 0x000, 0x008
_VMPCK = 0x020                                                          # KEYS of KEY_SIZE bytes
_TWEAK = 0x100
_SVSM_BASE, _SVSM_SIZE, _SVSM_CAA = 0x140, 0x148, 0x150                 # u64
_SVSM_MAX_VERSION, _SVSM_GUEST_VMPL, _TSC_FACTOR = 0x158, 0x15C, 0x160  # GUEST_VMPL: u8


def build(keys: Sequence[bytes], signature: int, tsc_factor: int = 0, tweak: bytes = b"") -> bytes:
    """The page as firmware makes it. `keys`: VMPCK0 to VMPCK3, 32 bytes each. `signature`: CPUID function 1's EAX.
    `tsc_factor`: mean deviation of the TSC in millionths. `tweak`: which quadwords of a VMSA are masked, 64 bytes."""
    if [len(key) for key in keys] != [KEY_SIZE] * KEYS:
        raise ValueError(f"a secrets page has {KEYS} keys of {KEY_SIZE} bytes")
    page = bytearray(PAGE)
    for offset, value in ((_VERSION, VERSION), (_FMS, signature), (_TSC_FACTOR, tsc_factor)):
        page[offset:offset + 4] = value.to_bytes(4, "little")
    page[_VMPCK:_VMPCK + KEYS * KEY_SIZE] = b"".join(keys)
    page[_TWEAK:_TWEAK + len(tweak)] = tweak
    return bytes(page)


def key(page: bytes | memoryview, number: int) -> bytes:
    """VMPCK `number` of a page."""
    start = _VMPCK + KEY_SIZE * number
    return bytes(page[start:start + KEY_SIZE])


def for_lower_vmpl(page: bytes, vmpl: int, base: int, size: int, calling_area: int, max_version: int = 1) -> bytes:
    """The copy that an SVSM gives to a guest at `vmpl`: without the keys of more privileged levels, and with the place
    of the SVSM (base and size in bytes), the first vCPU's calling area and the highest protocol version (SVSM 5)."""
    copy = bytearray(page)
    copy[_VMPCK:_VMPCK + KEY_SIZE * vmpl] = bytes(KEY_SIZE * vmpl)
    for offset, value, width in ((_SVSM_BASE, base, 8), (_SVSM_SIZE, size, 8), (_SVSM_CAA, calling_area, 8),
                                 (_SVSM_MAX_VERSION, max_version, 4), (_SVSM_GUEST_VMPL, vmpl, 1)):
        copy[offset:offset + width] = value.to_bytes(width, "little")
    return bytes(copy)
