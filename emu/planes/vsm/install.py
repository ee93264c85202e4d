"""Hypercalls by which a VTL says what it intercepts of lower ones, and what they get instead (TLFS, hypercall
reference: HvCallInstallIntercept, HvCallCheckForIoIntercept, HvCallRegisterInterceptResult)."""

from __future__ import annotations

import struct

from emu.planes.vsm import codes, installed, results
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, simple_call
from emu.planes.vsm.operands import target
from emu.planes.vsm.results import Answer
from emu.planes.vsm.trapped import arm

HEADER = 16
CPUID_INPUT, CPUID_RESULT, MSR_RESULT = struct.Struct("<IIBB2x"), struct.Struct("<8I"), struct.Struct("<3I")
REGISTERED = HEADER + CPUID_INPUT.size + CPUID_RESULT.size
PORT_SIZES = (1, 2, 4)


@simple_call(codes.INSTALL_INTERCEPT, 24)
def install_intercept(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 access mask (1 read, 2 write, 4 execute; 0 removes it), u32 type, u64 parameter."""
    partition = caller.vp.partition
    identity, accesses, kind, parameter = struct.unpack("<QIIQ", data)
    partition.check_self(identity)
    if caller.vtl == 0:
        raise HvError(codes.ACCESS_DENIED)
    if not partition.intercepts.installed.install(caller.vtl, kind, accesses, parameter):
        raise HvError(codes.INVALID_PARAMETER)
    for vp in partition.vps:
        arm(vp)
    return b""


@simple_call(codes.CHECK_FOR_IO_INTERCEPT, 18, output=8)
def check_for_io_intercept(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 VP, u8 HV_INPUT_VTL, u8 0, u16 port, u8 size, u8 whether it is a write; out: u8 whether a
    VTL above intercepts it."""
    vp, vtl = target(caller, data[:13] + bytes(3))
    zero, port, size, write = struct.unpack_from("<BHBB", data, 13)
    if zero or size not in PORT_SIZES or write > 1:
        raise HvError(codes.INVALID_PARAMETER)
    return bytes((vp.partition.intercepts.port_owner(vp, vtl, port, size, bool(write)) is not None,)).ljust(8, b"\0")


def _header(caller: Caller, data: bytes) -> tuple[int, int]:
    """Which virtual processors, and the type: u64 partition, u32 VP, u32 type. VTL0 has nobody to answer for."""
    partition = caller.vp.partition
    identity, index, kind = struct.unpack_from("<QII", data)
    partition.check_self(identity)
    if index != codes.VP_ANY:
        index = partition.vp(caller.vp, index).index
    if caller.vtl == 0:
        raise HvError(codes.ACCESS_DENIED)
    if kind not in (installed.CPUID, installed.MSR):
        raise HvError(codes.INVALID_PARAMETER)
    return index, kind


def _leaf(data: bytes) -> tuple[int, int, bool]:
    """Leaf, subleaf and whether the result comes before any intercept: u32 EAX, u32 ECX, u8 whether ECX counts, u8
    the latter."""
    leaf, subleaf, specific, always = CPUID_INPUT.unpack_from(data, HEADER)
    if specific > 1 or always > 1 or any(data[HEADER + 10:HEADER + 12]):
        raise HvError(codes.INVALID_PARAMETER)
    return leaf, subleaf if specific else results.ALL_SUBLEAVES, bool(always)


def _msr(data: bytes) -> tuple[int, int, int]:
    """u32 MSR, u32 access mask, u32 action."""
    index, accesses, action = MSR_RESULT.unpack_from(data, HEADER)
    if not accesses or accesses & ~(installed.READ | installed.WRITE) or action > results.ACTION_IGNORE_WRITE_READ_ZERO:
        raise HvError(codes.INVALID_PARAMETER)
    return index, accesses, action


@simple_call(codes.REGISTER_INTERCEPT_RESULT, REGISTERED)
def register_intercept_result(caller: Caller, data: bytes) -> bytes:
    """The header, then for CPUID the leaf and EAX, EBX, ECX, EDX, each with a mask of the bits that count; for an MSR
    that nobody implements what an access does."""
    index, kind = _header(caller, data)
    table = caller.vp.partition.intercepts.results
    if kind == installed.CPUID:
        words = CPUID_RESULT.unpack_from(data, HEADER + CPUID_INPUT.size)
        values: Answer = words[0], words[2], words[4], words[6]
        masks: Answer = words[1], words[3], words[5], words[7]
        leaf, subleaf, always = _leaf(data)
        table.set_cpuid(caller.vtl, index, leaf, subleaf, always, values, masks)
    else:
        table.set_msr(caller.vtl, index, *_msr(data))
    return b""


@simple_call(codes.UNREGISTER_INTERCEPT_RESULT, HEADER + CPUID_INPUT.size)
def unregister_intercept_result(caller: Caller, data: bytes) -> bytes:
    """The header and what names a result."""
    index, kind = _header(caller, data)
    table = caller.vp.partition.intercepts.results
    if kind == installed.CPUID:
        leaf, subleaf, _ = _leaf(data)
        found = table.drop_cpuid(caller.vtl, index, leaf, subleaf)
    else:
        msr, accesses, _ = _msr(data[:HEADER + 8] + bytes(4))
        found = table.drop_msr(caller.vtl, index, msr, accesses)
    if not found:
        raise HvError(codes.NOT_FOUND)
    return b""
