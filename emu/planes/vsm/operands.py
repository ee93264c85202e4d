"""Operands that hypercalls have in common (TLFS, "Hypercall reference": HV_PARTITION_ID, HV_VP_INDEX, HV_INPUT_VTL,
HV_VP_SET)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

SPARSE, ALL_PROCESSORS = 0, 1           # formats of a processor set
BANK = 64


def check_reserved(caller: Caller, fields: bytes) -> None:
    """HvError: reserved fields are not 0, where that counts."""
    if any(fields) and caller.vp.partition.dialect.reserved_checked:
        raise HvError(codes.INVALID_PARAMETER)


def input_vtl(caller: Caller, which: int) -> int:
    """The VTL that an HV_INPUT_VTL names: the caller's own unless it says otherwise. HvError: reserved bits are set."""
    if which & codes.INPUT_VTL_RESERVED:
        raise HvError(codes.INVALID_PARAMETER)
    return which & codes.TARGET_VTL if which & codes.USE_TARGET_VTL else caller.vtl


def target(caller: Caller, header: bytes) -> tuple[Vp, int]:
    """The virtual processor and VTL of a header that starts with u64 partition, u32 VP, u8 HV_INPUT_VTL and 3 reserved
    bytes. HvError: not the caller's partition, no such processor, or a VTL that is higher or not enabled there."""
    partition = caller.vp.partition
    identity, index, which = struct.unpack_from("<QIB", header)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    check_reserved(caller, header[13:16])
    vtl = input_vtl(caller, which)
    if vtl > caller.vtl or not vp.enabled >> vtl & 1:
        raise HvError(codes.ACCESS_DENIED)
    return vp, vtl


def set_bytes(header: bytes) -> int:
    """Bytes of the banks that follow a processor set's format and mask, the last 16 bytes of a header. Guests do not
    agree on what the variable header size counts, so the mask decides."""
    form, banks = struct.unpack_from("<QQ", header, len(header) - 16)
    return 8 * banks.bit_count() if form == SPARSE else 0


def processor_set(caller: Caller, data: bytes) -> list[Vp]:
    """The virtual processors of a set: u64 format, u64 mask of banks, a qword for each. HvError: an unknown format."""
    form, banks = struct.unpack_from("<QQ", data)
    vps = caller.vp.partition.vps
    if form == ALL_PROCESSORS:
        return list(vps)
    if form != SPARSE:
        raise HvError(codes.INVALID_PARAMETER)
    words = iter(struct.unpack_from(f"<{banks.bit_count()}Q", data, 16))
    found = []
    for bank in range(BANK):
        if banks >> bank & 1:
            found += in_mask(vps[bank * BANK:], next(words))
    return found


def in_mask(vps: list[Vp], mask: int) -> list[Vp]:
    """Those of the first 64 whose bit is set; bits of processors that do not exist are ignored."""
    return [vp for i, vp in enumerate(vps[:BANK]) if mask >> i & 1]
