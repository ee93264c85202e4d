"""Puts a plane into the state in which a loaded image starts, or into those after power-on and INIT (SDM Vol. 3A 9.1.1,
table 9-1)."""

from __future__ import annotations

from emu.load.model import BootState, SegmentRegister
from emu.plane import GPR_NAMES, PAT_RESET, SEGMENT_NAMES, Plane
from jit import layout

STATUS_FLAGS = 0x8D5            # held apart, as lazy flags (jit/flags.py)
_DIRECT = {"rip": layout.RIP, "cr0": layout.CR0, "cr3": layout.CR3, "cr4": layout.CR4, "efer": layout.EFER}
EFER_LME, EFER_LMA, CR0_PG = 1 << 8, 1 << 10, 1 << 31
CR0_CACHE = 0b11 << 29          # CD and NW
KEPT_BY_INIT = ("xcr0", "star", "lstar", "cstar", "sfmask", "kernel_gs_base", "sysenter_cs", "sysenter_esp",
                "sysenter_eip", "pat", "tsc_aux", "tsc_offset", "apic_base", "xss", "u_cet", "pl3_ssp", "pl0_ssp",
                "s_cet", "isst", "last_branch", "last_exception", "pkrs")
RDX = layout.gpr(2)


def set_segment(plane: Plane, number: int, value: SegmentRegister) -> None:
    """Load a segment register with its hidden part, unchecked."""
    plane.set(layout.seg(number, layout.SEG_SELECTOR), value.selector)
    plane.set(layout.seg(number, layout.SEG_BASE), value.base)
    plane.set(layout.seg(number, layout.SEG_LIMIT), value.limit)
    plane.set(layout.seg(number, layout.SEG_ATTR), value.attributes)


def reset(plane: Plane) -> None:
    """Power-on state: real mode at F000:FFF0 with CS.base FFFF0000."""
    for field in layout.FIELDS.values():
        if layout.GPR <= field.offset < layout.SELF or layout.SEG <= field.offset < layout.PDPTE:
            for i in range(field.count):
                plane.set(field.offset + 8 * i, 0)
    data = SegmentRegister(0, 0, 0xFFFF, 0x93)
    for number in range(6):
        set_segment(plane, number, data)
    set_segment(plane, layout.CS, SegmentRegister(0xF000, 0xFFFF0000, 0xFFFF, 0x9B))
    set_segment(plane, layout.LDTR, SegmentRegister(0, 0, 0xFFFF, 0x82))
    set_segment(plane, layout.TR, SegmentRegister(0, 0, 0xFFFF, 0x8B))
    for limit in (layout.GDTR_LIMIT, layout.IDTR_LIMIT):
        plane.set(limit, 0xFFFF)
    plane.set(layout.RIP, 0xFFF0)
    plane.set(RDX, plane.engine.cpu.model.signature)
    plane.set(layout.CR0, 0x60000010)
    plane.set(layout.RFL, 2)
    plane.set(layout.RES, 0x100)
    plane.set(layout.DR6, 0xFFFF0FF0)
    plane.set(layout.DR7, 0x400)
    plane.set(layout.PAT, PAT_RESET)
    plane.set(layout.XCR0, 1)
    for offset in (layout.ACTIVITY, layout.INTERRUPT, layout.NMI, layout.NMI_BLOCKED, layout.SHADOW,
                  layout.FAULT_PENDING, layout.FAULT_EXT, layout.RESUME, layout.IO_DONE, layout.IO_NEXT):
        plane.set(offset, 0)
    plane.update_mode()
    plane.flush()


def initialise(plane: Plane) -> None:
    """After INIT: as after a reset, but MSRs and what XSAVE manages are as they were, and so are CR0.CD and NW."""
    kept = [(field.offset + 8 * n, plane.get(field.offset + 8 * n))
            for field in map(layout.FIELDS.__getitem__, KEPT_BY_INIT) for n in range(field.count)]
    cache = plane.get(layout.CR0) & CR0_CACHE
    reset(plane)
    for offset, value in kept:
        plane.set(offset, value)
    plane.set(layout.CR0, plane.get(layout.CR0) & ~CR0_CACHE | cache)
    plane.update_mode()


def start(plane: Plane, boot: BootState) -> None:
    """The state that a boot protocol prescribes."""
    reset(plane)
    if not boot.at_reset:
        plane.set(RDX, 0)
    for name, value in boot.registers.items():
        if name in _DIRECT:
            plane.set(_DIRECT[name], value)
        elif name == "rflags":
            plane.set(layout.RFL, value & ~STATUS_FLAGS | 2)
        else:
            plane.set(layout.gpr(GPR_NAMES.index(name)), value)
    if plane.get(layout.EFER) & EFER_LME and plane.get(layout.CR0) & CR0_PG:
        plane.set(layout.EFER, plane.get(layout.EFER) | EFER_LMA)
    for name, segment in boot.segments.items():
        set_segment(plane, SEGMENT_NAMES.index(name), segment)
    plane.set(layout.GDTR_BASE, boot.gdtr[0])
    plane.set(layout.GDTR_LIMIT, boot.gdtr[1])
    plane.set(layout.IDTR_BASE, boot.idtr[0])
    plane.set(layout.IDTR_LIMIT, boot.idtr[1])
    plane.set(layout.CPL, boot.segments["ss"].attributes >> 5 & 3)
    plane.update_mode()
    plane.flush()


def startup(plane: Plane, vector: int) -> None:
    """After a start-up IPI: real mode at vector * 4 KiB, all else as after INIT (SDM Vol. 3A 8.4.3)."""
    initialise(plane)
    enter_real(plane, vector << 8, 0)


def enter_real(plane: Plane, selector: int, offset: int) -> None:
    """After a reset: go on in real mode at selector:offset."""
    set_segment(plane, layout.CS, SegmentRegister(selector, selector << 4, 0xFFFF, 0x9B))
    plane.set(layout.RIP, offset)
    plane.update_mode()
