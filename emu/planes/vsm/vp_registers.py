"""HvCallGetVpRegisters and HvCallSetVpRegisters (TLFS, hypercall reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic_msr import GeneralProtection
from emu.planes.vsm import codes, events, vsm_registers
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.extended_state import EXTENDED
from emu.planes.vsm.hypercall import Caller, Element, repeated_call
from emu.planes.vsm.operands import check_reserved, target
from emu.planes.vsm.register_names import CPUID_LEAVES, MSRS, SHARED_MSRS, describe
from emu.planes.vsm.vp_state import STATE

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

HEADER, NAME, VALUE, SET_ELEMENT = 16, 4, 16, 32
ARCHITECTURAL = STATE | EXTENDED | events.EVENTS


@repeated_call(codes.GET_VP_REGISTERS, HEADER, NAME, VALUE)
def get_vp_registers(caller: Caller, header: bytes) -> Element:
    """Elements: u32 name in, 128-bit value out."""
    vp, vtl = target(caller, header)

    def element(data: bytes) -> bytes:
        return read(vp, vtl, int.from_bytes(data, "little")).to_bytes(VALUE, "little")
    return element


@repeated_call(codes.SET_VP_REGISTERS, HEADER, SET_ELEMENT, 0)
def set_vp_registers(caller: Caller, header: bytes) -> Element:
    """Elements: u32 name, 12 reserved bytes, 128-bit value. Events can be given to lower VTLs only."""
    vp, vtl = target(caller, header)

    def element(data: bytes) -> bytes:
        name = int.from_bytes(data[:NAME], "little")
        check_reserved(caller, data[NAME:VALUE])
        if name in events.EVENTS and vtl >= caller.vtl:
            raise HvError(codes.INVALID_PARAMETER)
        write(vp, vtl, name, int.from_bytes(data[VALUE:], "little"))
        return b""
    return element


def read(vp: Vp, vtl: int, name: int) -> int:
    """A register of a VTL. HvError: there is none of that name, or it cannot be read."""
    if name in vsm_registers.REGISTERS:
        return vsm_registers.REGISTERS[name].read(vp, vtl)
    if name in ARCHITECTURAL:
        return ARCHITECTURAL[name].read(vp, vtl)
    if name in CPUID_LEAVES:
        return sum(word << 32 * i for i, word in enumerate(vp.vcpu.cpuid.read(CPUID_LEAVES[name], 0)))
    if name in SHARED_MSRS:
        return vp.vcpu.msrs.read(SHARED_MSRS[name])
    if names.APIC_ID <= name <= names.APIC_LAST:
        word = vp.vcpu.lapics[vtl].read_register((name - names.APIC_ID + 2) << 4)
        if word is not None:
            return word
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
    elif name in ARCHITECTURAL:
        change = ARCHITECTURAL[name].write
        if change is None:
            raise HvError(codes.INVALID_PARAMETER)
        change(vp, vtl, value)
    elif name in MSRS or name in SHARED_MSRS:
        if value >> 64:
            raise HvError(codes.INVALID_REGISTER_VALUE)
        try:
            if name in MSRS:
                vp.msrs.write(vtl, MSRS[name], value)
            else:
                vp.vcpu.msrs.write(SHARED_MSRS[name], value)
        except GeneralProtection:
            raise HvError(codes.INVALID_REGISTER_VALUE) from None
    else:
        raise _unknown(vp, name, "writing")


def _unknown(vp: Vp, name: int, what: str) -> HvError:
    vp.partition.report(f"{what} VP register {describe(name)}")
    return HvError(codes.INVALID_PARAMETER)
