"""Intercepts of register accesses: CrInterceptControl and its masks, what they ask of the engine, and what a message
says of an access (TLFS, Virtual Secure Mode, "CrInterceptControl")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm import codes, register_names
from emu.planes.vsm.codes import HvError
from emu.walk import read_virtual
from jit import guards, layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

CONTROL, CR0_MASK, CR4_MASK, MISC_ENABLE_MASK = range(0xE0000, 0xE0004)     # register names
OFFERED = (1 << guards.TSC_AUX_WRITE + 1) - 1
IA32_APIC_BASE, IA32_MISC_ENABLE = 0x1B, 0x1A0
MASKS = {guards.CR0_WRITE: CR0_MASK, guards.CR4_WRITE: CR4_MASK, guards.MISC_ENABLE_WRITE: MISC_ENABLE_MASK}

# MSRs that are fields of the register file, by access; and the others, with their accesses (read, write).
MSRS = {
    guards.LSTAR_READ: guards.IA32_LSTAR, guards.LSTAR_WRITE: guards.IA32_LSTAR, guards.STAR_READ: guards.IA32_STAR,
    guards.STAR_WRITE: guards.IA32_STAR, guards.CSTAR_READ: guards.IA32_CSTAR, guards.CSTAR_WRITE: guards.IA32_CSTAR,
    guards.EFER_READ: guards.IA32_EFER, guards.EFER_WRITE: guards.IA32_EFER,
    guards.SYSENTER_CS_WRITE: guards.IA32_SYSENTER_CS,
    guards.SYSENTER_EIP_WRITE: guards.IA32_SYSENTER_EIP, guards.SYSENTER_ESP_WRITE: guards.IA32_SYSENTER_ESP,
    guards.SFMASK_WRITE: guards.IA32_FMASK, guards.TSC_AUX_WRITE: guards.IA32_TSC_AUX,
}
READS = frozenset((guards.LSTAR_READ, guards.STAR_READ, guards.CSTAR_READ, guards.EFER_READ))
OTHER_MSRS = {IA32_APIC_BASE: (guards.APIC_BASE_READ, guards.APIC_BASE_WRITE),
              IA32_MISC_ENABLE: (guards.MISC_ENABLE_READ, guards.MISC_ENABLE_WRITE)}
NAMES = {guards.CR0_WRITE: register_names.CR0, guards.CR4_WRITE: register_names.CR4,
         guards.XCR0_WRITE: register_names.XCR0, guards.GDTR_WRITE: register_names.GDTR,
         guards.IDTR_WRITE: register_names.IDTR, guards.LDTR_WRITE: register_names.LDTR,
         guards.TR_WRITE: register_names.TR}
SPELLED = {guards.CR0_WRITE: "CR0", guards.CR4_WRITE: "CR4", guards.XCR0_WRITE: "XCR0", guards.GDTR_WRITE: "GDTR",
           guards.IDTR_WRITE: "IDTR", guards.LDTR_WRITE: "LDTR", guards.TR_WRITE: "TR"}
SYSTEM_DESCRIPTOR_BYTES, GRANULAR = 16, 0x8000


class Traps:
    """The intercept registers of one VTL of a virtual processor."""

    def __init__(self) -> None:
        self.values = dict.fromkeys((CONTROL, CR0_MASK, CR4_MASK, MISC_ENABLE_MASK), 0)

    def wants(self, vp: Vp, number: int, plane: Plane, value: int | None = None) -> bool:
        """Whether this VTL intercepts an access of a lower one; `value` is what WRMSR was to write."""
        if not self.values[CONTROL] >> number & 1:
            return False
        if number not in MASKS:
            return True
        if number == guards.MISC_ENABLE_WRITE:
            changed = vp.vcpu.msrs.read(IA32_MISC_ENABLE) ^ (value or 0)
        else:
            old = plane.get(layout.CR0 if number == guards.CR0_WRITE else layout.CR4)
            changed = old ^ plane.get(layout.IO_VALUE)
        return bool(changed & self.values[MASKS[number]])


def write(vp: Vp, vtl: int, value: int, name: int) -> None:
    """Write an intercept register of a VTL above 0. HvError: not with this value, or for VTL0."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    if value >> 64 or name == CONTROL and value & ~OFFERED:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vtls[vtl].traps.values[name] = value
    arm(vp)


def read(vp: Vp, vtl: int, name: int) -> int:
    """Read one."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    return vp.vtls[vtl].traps.values[name]


def arm(vp: Vp) -> None:
    """Tell the engine what the planes of a virtual processor must ask for."""
    for plane in vp.vcpu.planes:
        owners = [vp.vtls[n].traps.values for n in vp.higher(plane.number)]
        control = cr0 = cr4 = 0
        for owner in vp.higher(plane.number):
            control |= vp.partition.intercepts.installed.traps(owner)
        for values in owners:
            control |= values[CONTROL]
            cr0 |= values[CR0_MASK] if values[CONTROL] >> guards.CR0_WRITE & 1 else 0
            cr4 |= values[CR4_MASK] if values[CONTROL] >> guards.CR4_WRITE & 1 else 0
        plane.set(layout.TRAPS, control)
        plane.set(layout.TRAP_CR0, cr0)
        plane.set(layout.TRAP_CR4, cr4)


def register_value(machine: Machine, plane: Plane, number: int) -> tuple[int, int]:
    """Name and attempted 128-bit value of an intercepted access to a register that is no MSR."""
    value = plane.get(layout.IO_VALUE)
    if number in (guards.GDTR_WRITE, guards.IDTR_WRITE):
        value = value << 64 | plane.get(layout.IO_SIZE) << 48
    elif number in (guards.LDTR_WRITE, guards.TR_WRITE):
        value = _system_segment(machine, plane, value)
    return NAMES[number], value


def _system_segment(machine: Machine, plane: Plane, selector: int) -> int:
    """What LLDT or LTR of a selector would load: base u64, limit u32, selector u16, attributes u16."""
    at = plane.get(layout.GDTR_BASE) + (selector & 0xFFF8)
    data = read_virtual(machine, plane, at, SYSTEM_DESCRIPTOR_BYTES) if selector & 0xFFFC else b""
    low, high = (int.from_bytes(data[i:i + 8].ljust(8, b"\0"), "little") for i in (0, 8))
    base = low >> 16 & 0xFFFFFF | low >> 56 << 24 | (high & 0xFFFFFFFF) << 32
    attributes = low >> 40 & 0xF0FF
    limit = low & 0xFFFF | low >> 48 & 0xF0000 if low else 0
    if attributes & GRANULAR:
        limit = limit << 12 | 0xFFF
    return base | limit << 64 | selector << 96 | attributes << 112
