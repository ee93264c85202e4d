"""HvCallModifyVtlProtectionMask and HvCallCheckSparseGpaPageVtlAccess (TLFS, hypercall reference; Virtual Secure Mode,
"Memory access protections")."""

from __future__ import annotations

import struct

from emu.mem.ram import PAGE
from emu.planes.layers import origin_of
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, Element, repeated_call
from emu.planes.vsm.operands import check_reserved, input_vtl
from emu.planes.vsm.vsm_registers import legal_mask

HEADER, GPN = 16, 8


@repeated_call(codes.MODIFY_VTL_PROTECTION_MASK, HEADER, GPN, 0)
def modify_vtl_protection_mask(caller: Caller, header: bytes) -> Element:
    """u64 partition, u32 map flags, u8 HV_INPUT_VTL, 3 reserved bytes; elements: u64 page numbers.

    Without a VTL, or with the caller's own, the caller's masks for all lower VTLs change; a lower one names the VTL
    whose access is to change.
    """
    partition = caller.vp.partition
    identity, flags, which = struct.unpack_from("<QIB", header)
    partition.check_self(identity)
    check_reserved(caller, header[13:])
    vtl = input_vtl(caller, which)
    if vtl > caller.vtl:
        raise HvError(codes.ACCESS_DENIED)
    if caller.vtl == 0:
        raise HvError(partition.dialect.no_protector)
    if not partition.protections.enabled(caller.vtl):
        raise HvError(codes.ACCESS_DENIED)
    if not partition.enabled >> vtl & 1:
        raise HvError(codes.INVALID_VTL_STATE)
    if not legal_mask(flags):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    lower = range(vtl) if vtl == caller.vtl else (vtl,)
    origin = origin_of(caller.vp.vcpu)

    def element(data: bytes) -> bytes:
        gpa = int.from_bytes(data, "little") * PAGE
        if not partition.is_ram(gpa):
            raise HvError(codes.INVALID_PARAMETER)
        for target in lower:
            partition.protections.set(caller.vtl, target, gpa, flags, origin)
            partition.stale.add(target)
        return b""
    return element


@repeated_call(codes.CHECK_SPARSE_GPA_PAGE_VTL_ACCESS, HEADER, GPN, GPN)
def check_sparse_gpa_page_vtl_access(caller: Caller, header: bytes) -> Element:
    """u64 partition, u8 HV_INPUT_VTL, u8 access flags (as map flags), 6 reserved bytes; elements: u64 page number in;
    out u32 result (0 allowed, else the access that is denied), u32 0."""
    partition = caller.vp.partition
    identity, which, wanted = struct.unpack_from("<QBB", header)
    partition.check_self(identity)
    vtl = input_vtl(caller, which)
    check_reserved(caller, header[10:])
    if wanted >> 4:
        raise HvError(codes.INVALID_PARAMETER)
    if vtl > caller.vtl:
        raise HvError(codes.ACCESS_DENIED)

    def element(data: bytes) -> bytes:
        gpa = int.from_bytes(data, "little") * PAGE
        if not partition.is_ram(gpa):
            raise HvError(codes.INVALID_PARAMETER)
        denied = sum(1 << bit for bit in range(4) if wanted >> bit & 1
                     and not partition.protections.allows(vtl, gpa, min(bit, 2)))
        return struct.pack("<II", denied, 0)
    return element
