"""The memory map for GDB (GDB manual E.18): it takes addresses that are not listed for unreadable, so all are."""

from __future__ import annotations

from emu import Machine

END = 1 << 64


def document(machine: Machine) -> str:
    """memory-map.xml: ROM where there is some, everything else as RAM."""
    roms = sorted((rom.gpa, rom.gpa + (len(rom.data) + 4095) // 4096 * 4096)
                  for rom in (machine.image.roms if machine.image else ()))
    parts, at = [], 0
    for start, end in roms:
        if start > at:
            parts.append(("ram", at, start))
        parts.append(("rom", start, end))
        at = end
    parts.append(("ram", at, END - 1))
    lines = [f'<memory type="{kind}" start="{start:#x}" length="{end - start:#x}"/>' for kind, start, end in parts]
    return ('<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
            '"http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map>' + "".join(lines) + "</memory-map>")
