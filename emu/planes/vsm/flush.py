"""HvCallFlushVirtualAddressSpace and -List and their Ex forms (TLFS, hypercall reference)."""

from __future__ import annotations

import struct

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError, Retry
from emu.planes.vsm.hypercall import Caller, Element, repeated_call, simple_call
from emu.planes.vsm.operands import check_reserved, in_mask, input_vtl, processor_set, set_bytes
from emu.planes.vsm.vp import Vp

ALL_PROCESSORS, ALL_SPACES, NON_GLOBAL, EXTENDED_RANGE, USE_TARGET_VTL = 1, 2, 4, 8, 1 << 4
VTL_SHIFT = 8                           # where flags name the VTL, two bits
FLAGS = ALL_PROCESSORS | ALL_SPACES | NON_GLOBAL | EXTENDED_RANGE | USE_TARGET_VTL | 3 << VTL_SHIFT
GVA = 8


def _flush(caller: Caller, flags: int, vps: list[Vp]) -> None:
    """Drop translations of a VTL on some virtual processors: all of them, which a flush of some may always do. Retry:
    a higher VTL locks that VTL's."""
    partition = caller.vp.partition
    check_reserved(caller, (flags >> 32).to_bytes(4, "little"))
    if flags & 0xFFFF_FFFF & ~FLAGS:
        raise HvError(codes.INVALID_PARAMETER)
    vtl = caller.vtl
    if flags & USE_TARGET_VTL:
        vtl = input_vtl(caller, codes.USE_TARGET_VTL | flags >> VTL_SHIFT & 3)
    if vtl > caller.vtl:
        raise HvError(codes.ACCESS_DENIED)
    if flags & ALL_PROCESSORS:
        vps = partition.vps
    elif not vps:
        raise HvError(codes.INVALID_PARAMETER)
    if vtl == caller.vtl and partition.tlb_locks.wait(caller.vp, vtl):
        raise Retry
    for vp in vps:
        if vp.enabled >> vtl & 1:
            vp.vcpu.planes[vtl].flush()


def _masked(caller: Caller, header: bytes) -> None:
    """u64 address space, u64 flags, u64 mask of virtual processors."""
    _, flags, mask = struct.unpack_from("<3Q", header)
    _flush(caller, flags, in_mask(caller.vp.partition.vps, mask))


def _of_set(caller: Caller, header: bytes) -> None:
    """u64 address space, u64 flags, processor set."""
    _, flags = struct.unpack_from("<2Q", header)
    _flush(caller, flags, processor_set(caller, header[16:]))


def _nothing(data: bytes) -> bytes:
    """An element of a list: 63:12 page, 11:0 pages after it. The call has flushed everything."""
    return b""


@simple_call(codes.FLUSH_SPACE, 24)
def flush_virtual_address_space(caller: Caller, data: bytes) -> bytes:
    _masked(caller, data)
    return b""


@repeated_call(codes.FLUSH_LIST, 24, GVA, 0)
def flush_virtual_address_list(caller: Caller, header: bytes) -> Element:
    _masked(caller, header)
    return _nothing


@simple_call(codes.FLUSH_SPACE_EX, 32, variable=set_bytes)
def flush_virtual_address_space_ex(caller: Caller, data: bytes) -> bytes:
    _of_set(caller, data)
    return b""


@repeated_call(codes.FLUSH_LIST_EX, 32, GVA, 0, variable=set_bytes)
def flush_virtual_address_list_ex(caller: Caller, header: bytes) -> Element:
    _of_set(caller, header)
    return _nothing
