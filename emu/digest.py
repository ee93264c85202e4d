"""The state of a machine as one number, to compare runs by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from jit import fpu_layout, layout, pmap

if TYPE_CHECKING:
    from emu.machine import Machine

# Fields that the guest's past determines; the others are addresses, caches and what sampling for hot code has seen.
REGISTERS = ("gpr", "rip", "cr0", "cr2", "cr3", "cr4", "cr8", "xcr0", "dr", "dr6", "dr7", "cpl", "efer", "star",
             "lstar", "cstar", "sfmask", "kernel_gs_base", "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat",
             "tsc_aux", "tsc_offset", "pkrs", "ssp", "u_cet", "s_cet", "pl0_ssp", "pl3_ssp", "isst", "xss", "segments",
             "gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit", "activity", "interrupt", "nmi",
             "nmi_blocked", "shadow", "smi", "smm", "smbase", "debugctl", "last_branch", "last_exception")


def registers_digest(machine: Machine) -> str:
    """SHA-256 over instruction count, virtual time and all registers of all planes, in hexadecimal: a cheap one."""
    return _registers(machine).hexdigest()


def digest(machine: Machine) -> str:
    """The same, with all of RAM that is not zero."""
    state = _registers(machine)
    memory = machine.memory
    for page, word in enumerate(memory.map):
        if word & pmap.WRITE:
            data = memory.read(page * PAGE, PAGE)
            if data.strip(b"\0"):
                state.update(page.to_bytes(8, "little") + data)
    return state.hexdigest()


def _registers(machine: Machine) -> hashlib._Hash:
    state = hashlib.sha256()
    words = [machine.icount, machine.clock.now]
    for plane in machine.all_planes():
        words.append(plane.rflags)
        for name in REGISTERS:
            field = layout.FIELDS[name]
            words += [plane.get(field.offset + 8 * i) for i in range(field.count)]
        words += [plane.fpu_get(offset) for offset in range(0, fpu_layout.TMPV, 8)]
    for word in words:
        state.update(word.to_bytes(8, "little"))
    return state
