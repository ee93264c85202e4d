"""Registers that the planes of a vCPU may have in common, and those that each always has for itself (APM Vol. 2, table
B-4; TLFS, Virtual Secure Mode, "Virtual processor state isolation").

The local APIC is an instance per plane.
"""

from __future__ import annotations

from typing import NamedTuple

from emu.plane import GPR_NAMES, Plane
from jit import layout
from jit.group_layout import SharedSet

RSP = 4
PRIVATE = ("rip", "rsp", "rflags", "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr",
           "cr0", "cr3", "cr4", "cr8", "dr6", "dr7", "efer", "star", "lstar", "cstar", "sfmask", "kernel_gs_base",
           "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat", "tsc_aux", "tsc_offset", "pkrs", "ssp",
           "u_cet", "s_cet", "pl0_ssp", "pl3_ssp", "isst", "xss", "debugctl")


class Share(NamedTuple):
    """Registers that go together: (offset in the register file, words) of those that a switch copies, and the names of
    all."""

    pieces: SharedSet
    registers: tuple[str, ...]


SHARES = {
    "gpr": Share(((layout.gpr(0), RSP), (layout.gpr(RSP + 1), 15 - RSP), (layout.CR2, 1)),
                 (*(name for name in GPR_NAMES if name != "rsp"), "cr2")),
    "dr": Share(((layout.DR, 4),), ("dr0", "dr1", "dr2", "dr3")),
    "fpu": Share(((layout.XCR0, 1),), ("fpu", "xcr0")),     # the FPU file itself: the planes hold the same address
}


def exchange_pkru(old: Plane, new: Plane) -> None:
    """What a switch does in compiled code, for planes that share an FPU file (jit/protection_keys.py)."""
    if old is not new and old.get(layout.FPU) == new.get(layout.FPU):
        aside, pkru = new.pkru, old.pkru
        new.set(layout.PKRU_ASIDE, 0)
        new.pkru = aside
        old.set(layout.PKRU_ASIDE, 1 << 32 | pkru)


def shared_words(names: tuple[str, ...]) -> SharedSet:
    """What a switch carries over where these are shared."""
    return tuple(piece for name in names for piece in SHARES[name].pieces)


def saved(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of what a switch puts aside then."""
    return (*(register for name, share in SHARES.items() if name not in names for register in share.registers),
            *PRIVATE)
