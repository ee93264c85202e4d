"""HvCallGetVpRegisters and HvCallSetVpRegisters (TLFS, hypercall reference)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.irq.lapic_msr import GeneralProtection
from emu.planes.vsm import codes, vsm_registers
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, Element, repeated_call
from emu.planes.vsm.register_names import MSRS, describe
from emu.planes.vsm.vp_state import STATE

if TYPE_CHECKING:
    from emu.planes.vsm.partition import Vp

HEADER, NAME, VALUE, SET_ELEMENT = 16, 4, 16, 32
TARGET_VTL, USE_TARGET_VTL, INPUT_VTL_RESERVED = 0xF, 0x10, 0xE0


def _target(caller: Caller, header: bytes) -> tuple[Vp, int]:
    """The virtual processor and VTL that a header names: u64 partition, u32 VP, u8 HV_INPUT_VTL, 3 reserved bytes."""
    partition = caller.vp.partition
    identity, index, which = struct.unpack_from("<QIB", header)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    if which & INPUT_VTL_RESERVED or any(header[13:]):
        raise HvError(codes.INVALID_PARAMETER)
    vtl = which & TARGET_VTL if which & USE_TARGET_VTL else caller.vtl
    if vtl > caller.vtl or not vp.enabled >> vtl & 1:
        raise HvError(codes.ACCESS_DENIED)
    return vp, vtl


@repeated_call(codes.GET_VP_REGISTERS, HEADER, NAME, VALUE)
def get_vp_registers(caller: Caller, header: bytes) -> Element:
    """Elements: u32 name in, 128-bit value out."""
    vp, vtl = _target(caller, header)

    def element(data: bytes) -> bytes:
        return read(vp, vtl, int.from_bytes(data, "little")).to_bytes(VALUE, "little")
    return element


@repeated_call(codes.SET_VP_REGISTERS, HEADER, SET_ELEMENT, 0)
def set_vp_registers(caller: Caller, header: bytes) -> Element:
    """Elements: u32 name, 12 reserved bytes, 128-bit value."""
    vp, vtl = _target(caller, header)

    def element(data: bytes) -> bytes:
        write(vp, vtl, int.from_bytes(data[:NAME], "little"), int.from_bytes(data[VALUE:], "little"))
        return b""
    return element


def read(vp: Vp, vtl: int, name: int) -> int:
    """A register of a VTL. HvError: there is none of that name, or it cannot be read."""
    if name in vsm_registers.REGISTERS:
        return vsm_registers.REGISTERS[name].read(vp, vtl)
    if name in STATE:
        return STATE[name].read(vp, vtl)
    if name in MSRS:
        try:
            return vp.msrs.read(vtl, MSRS[name])
        except GeneralProtection:
            raise HvError(codes.INVALID_PARAMETER) from None
    raise _unknown(vp, name, "reading")


def write(vp: Vp, vtl: int, name: int, value: int) -> None:
    """Change a register of a VTL. HvError: unknown, read-only, or not with this value."""
    if name in vsm_registers.REGISTERS:
        vsm_registers.REGISTERS[name].write(vp, vtl, value)
    elif name in STATE:
        change = STATE[name].write
        if change is None:
            raise _unknown(vp, name, "writing")
        change(vp, vtl, value)
    elif name in MSRS:
        if value >> 64:
            raise HvError(codes.INVALID_REGISTER_VALUE)
        try:
            vp.msrs.write(vtl, MSRS[name], value)
        except GeneralProtection:
            raise HvError(codes.INVALID_REGISTER_VALUE) from None
    else:
        raise _unknown(vp, name, "writing")


def _unknown(vp: Vp, name: int, what: str) -> HvError:
    vp.partition.report(f"{what} VP register {describe(name)}")
    return HvError(codes.INVALID_PARAMETER)
