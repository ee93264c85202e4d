"""Registers of a plane by the names that the manuals give them: where each is, and how it is read and written.

Writing goes to the register file directly, as a debugger does: nothing is checked but the width, and what the engine
derives from control registers and segments follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from emu.plane import GPR_NAMES, SEGMENT_NAMES, Plane
from jit import fpu_layout, layout


class Register(NamedTuple):
    """A register or part of one: `offset` in jit/layout.py (None: computed, or in the FPU file at `fpu`), `shift` and
    width in bits. `derives`: the engine has to look again after a write."""

    offset: int | None
    bits: int = 64
    shift: int = 0
    fpu: int | None = None
    derives: bool = False


_LOW8 = "al cl dl bl spl bpl sil dil".split()
_HIGH8 = "ah ch dh bh".split()
_SEGMENT_PARTS = (("", layout.SEG_SELECTOR, 16), ("_base", layout.SEG_BASE, 64), ("_limit", layout.SEG_LIMIT, 32),
                  ("_attributes", layout.SEG_ATTR, 16))
_PLAIN = {
    "rip": layout.RIP, "cr0": layout.CR0, "cr2": layout.CR2, "cr3": layout.CR3, "cr4": layout.CR4, "cr8": layout.CR8,
    "xcr0": layout.XCR0, "dr0": layout.DR, "dr1": layout.DR + 8, "dr2": layout.DR + 16, "dr3": layout.DR + 24,
    "dr6": layout.DR6, "dr7": layout.DR7, "efer": layout.EFER, "star": layout.STAR, "lstar": layout.LSTAR,
    "cstar": layout.CSTAR, "sfmask": layout.SFMASK, "kernel_gs_base": layout.KERNEL_GS_BASE,
    "sysenter_cs": layout.SYSENTER_CS, "sysenter_esp": layout.SYSENTER_ESP, "sysenter_eip": layout.SYSENTER_EIP,
    "pat": layout.PAT, "tsc_aux": layout.TSC_AUX, "tsc_offset": layout.TSC_OFFSET, "cpl": layout.CPL,
    "gdtr_base": layout.GDTR_BASE, "gdtr_limit": layout.GDTR_LIMIT, "idtr_base": layout.IDTR_BASE,
    "idtr_limit": layout.IDTR_LIMIT, "xss": layout.XSS, "pkrs": layout.PKRS, "debugctl": layout.DEBUGCTL,
    "ssp": layout.SSP, "u_cet": layout.U_CET, "s_cet": layout.S_CET, "pl0_ssp": layout.PL0_SSP,
    "pl1_ssp": layout.PL0_SSP + 8, "pl2_ssp": layout.PL0_SSP + 16, "pl3_ssp": layout.PL3_SSP,
    "interrupt_ssp_table_addr": layout.ISST, "smbase": layout.SMBASE,
}
_DERIVING = ("cr0", "cr3", "cr4", "efer", "xcr0", "cpl", "dr7", "u_cet", "s_cet", "pkrs")
_FPU = {"fcw": fpu_layout.FCW, "fsw": fpu_layout.FSW, "ftw": fpu_layout.FTW, "fop": fpu_layout.FOP,
        "fip": fpu_layout.FIP, "fdp": fpu_layout.FDP, "fcs": fpu_layout.FCS, "fds": fpu_layout.FDS,
        "mxcsr": fpu_layout.MXCSR, "pkru": fpu_layout.PKRU}


def _table() -> dict[str, Register]:
    found = {name: Register(offset, derives=name in _DERIVING) for name, offset in _PLAIN.items()}
    for number, name in enumerate(GPR_NAMES):
        at = layout.gpr(number)
        found[name] = Register(at)
        if number < 8:
            found["e" + name[1:]], found[name[1:]] = Register(at, 32), Register(at, 16)
            found[_LOW8[number]] = Register(at, 8)
            if number < 4:
                found[_HIGH8[number]] = Register(at, 8, 8)
        else:
            for suffix, bits in (("d", 32), ("w", 16), ("b", 8)):
                found[name + suffix] = Register(at, bits)
    for number, name in enumerate(SEGMENT_NAMES):
        for suffix, part, bits in _SEGMENT_PARTS:
            found[name + suffix] = Register(layout.seg(number, part), bits, derives=True)
    found["rflags"] = found["eflags"] = Register(None, derives=True)
    for name, offset in _FPU.items():
        found[name] = Register(None, 32, fpu=offset, derives=name == "pkru")
    for number in range(8):
        found[f"st{number}"] = Register(None, 80)
        found[f"k{number}"] = Register(None, 64, fpu=fpu_layout.OPMASK + 8 * number)
    for number in range(fpu_layout.VECTORS):
        for name, bits in (("xmm", 128), ("ymm", 256), ("zmm", 512)):
            found[f"{name}{number}"] = Register(None, bits, fpu=fpu_layout.xmm(number))
    return found


REGISTERS = _table()


def within(pieces: Iterable[tuple[int, int]]) -> frozenset[str]:
    """The registers that lie in pieces of the register file, each (offset, words)."""
    covered = {offset + 8 * word for offset, words in pieces for word in range(words)}
    return frozenset(name for name, register in REGISTERS.items() if register.offset in covered)


def read(plane: Plane, name: str) -> int:
    """A register's value, unsigned. KeyError: there is none of that name."""
    register = REGISTERS[name]
    if register.offset is not None:
        return plane.get(register.offset) >> register.shift & (1 << register.bits) - 1
    if name == "pkru":
        return plane.pkru
    if register.fpu is not None:
        words = range((register.bits + 63) // 64)
        value = sum(plane.fpu_get(register.fpu + 8 * n) << 64 * n for n in words)
        return value & (1 << register.bits) - 1
    if name.startswith("st"):
        at = _stack_register(plane, int(name[2:]))
        return plane.fpu_get(at + fpu_layout.ST_SIGNIFICAND) | (
            plane.fpu_get(at + fpu_layout.ST_EXPONENT) & 0xFFFF) << 64
    return plane.rflags


def write(plane: Plane, name: str, value: int) -> None:
    """Change a register. KeyError: there is none of that name. ValueError: the value has too many bits."""
    register = REGISTERS[name]
    limit = (1 << register.bits) - 1
    if not 0 <= value <= limit:
        raise ValueError(f"{name}: {value:#x} does not fit in {register.bits} bits")
    if register.offset is not None:
        old = plane.get(register.offset)
        plane.set(register.offset, old & ~(limit << register.shift) | value << register.shift)
    elif name == "pkru":
        plane.pkru = value
    elif register.fpu is not None:
        for n in range((register.bits + 63) // 64):
            plane.fpu_set(register.fpu + 8 * n, value >> 64 * n)
    elif name.startswith("st"):
        at = _stack_register(plane, int(name[2:]))
        plane.fpu_set(at + fpu_layout.ST_SIGNIFICAND, value)
        plane.fpu_set(at + fpu_layout.ST_EXPONENT, value >> 64)
    else:
        plane.rflags = value
    if register.derives:
        plane.update_mode()
        plane.flush()
        plane.flush()


def _stack_register(plane: Plane, number: int) -> int:
    """Offset of ST(number) in the FPU file (SDM Vol. 1 8.1.2)."""
    top = plane.fpu_get(fpu_layout.FSW) >> 11 & 7
    return fpu_layout.mm((top + number) & 7)
