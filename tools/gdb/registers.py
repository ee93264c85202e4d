"""Registers in GDB's order: the target description, and values as bytes (GDB manual G.5.4, i386 features).

All of the core feature's registers must be there, or GDB rejects the description.
"""

from __future__ import annotations

from typing import NamedTuple

from emu import state_names
from emu.plane import Plane
from jit import fpu_layout

CORE, SSE, AVX, SEGMENTS, CONTROL = (
    "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.avx", "org.gnu.gdb.i386.segments",
    "org.strata.control")
FLAGS = """<flags id="i386_eflags" size="4">
<field name="" start="22" end="31"/><field name="ID" start="21" end="21"/><field name="VIP" start="20" end="20"/>
<field name="VIF" start="19" end="19"/><field name="AC" start="18" end="18"/><field name="VM" start="17" end="17"/>
<field name="RF" start="16" end="16"/><field name="NT" start="14" end="14"/><field name="IOPL" start="12" end="13"/>
<field name="OF" start="11" end="11"/><field name="DF" start="10" end="10"/><field name="IF" start="9" end="9"/>
<field name="TF" start="8" end="8"/><field name="SF" start="7" end="7"/><field name="ZF" start="6" end="6"/>
<field name="AF" start="4" end="4"/><field name="PF" start="2" end="2"/><field name="" start="1" end="1"/>
<field name="CF" start="0" end="0"/></flags>"""
VECTOR = """<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>
<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>
<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>
<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>"""
TYPES = {CORE: FLAGS, SSE: VECTOR}


class Entry(NamedTuple):
    """A register: GDB's name, its bits and type, the feature, and the name in emu/state_names.py."""

    name: str
    bits: int
    kind: str
    feature: str
    source: str


def _entries() -> list[Entry]:
    found = [Entry(name, 64, "data_ptr" if name in ("rbp", "rsp") else "int64", CORE, name) for name in (
        "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split())]
    found += [Entry("rip", 64, "code_ptr", CORE, "rip"), Entry("eflags", 32, "i386_eflags", CORE, "rflags")]
    found += [Entry(name, 32, "int32", CORE, name) for name in "cs ss ds es fs gs".split()]
    found += [Entry(f"st{n}", 80, "i387_ext", CORE, f"st{n}") for n in range(8)]
    found += [Entry(name, 32, "int", CORE, source) for name, source in (
        ("fctrl", "fcw"), ("fstat", "fsw"), ("ftag", "ftag"), ("fiseg", "fcs"), ("fioff", "fip"), ("foseg", "fds"),
        ("fooff", "fdp"), ("fop", "fop"))]
    found += [Entry(f"xmm{n}", 128, "vec128", SSE, f"xmm{n}") for n in range(16)]
    found.append(Entry("mxcsr", 32, "int32", SSE, "mxcsr"))
    found += [Entry("fs_base", 64, "int64", SEGMENTS, "fs_base"), Entry("gs_base", 64, "int64", SEGMENTS, "gs_base")]
    found += [Entry(f"ymm{n}h", 128, "uint128", AVX, f"ymm{n}h") for n in range(16)]
    found += [Entry(name, 64, "int64", CONTROL, source) for name, source in (
        ("cr0", "cr0"), ("cr2", "cr2"), ("cr3", "cr3"), ("cr4", "cr4"), ("cr8", "cr8"), ("efer", "efer"),
        ("k_gs_base", "kernel_gs_base"), ("xcr0", "xcr0"), ("gdtr_base", "gdtr_base"), ("idtr_base", "idtr_base"),
        ("lstar", "lstar"), ("cpl", "cpl"))]
    return found


ENTRIES = _entries()


def description() -> str:
    """target.xml."""
    parts = ['<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">',
             '<target version="1.0"><architecture>i386:x86-64</architecture>']
    for feature in (CORE, SSE, SEGMENTS, AVX, CONTROL):
        parts.append(f'<feature name="{feature}">{TYPES.get(feature, "")}')
        for number, entry in enumerate(ENTRIES):
            if entry.feature == feature:
                group = ' group="float"' if entry.kind == "i387_ext" else ' group="vector"' if entry.bits == 128 else ""
                parts.append(f'<reg name="{entry.name}" bitsize="{entry.bits}" type="{entry.kind}" '
                             f'regnum="{number}"{group}/>')
        parts.append("</feature>")
    return "\n".join([*parts, "</target>"])


def read(plane: Plane, entry: Entry) -> bytes:
    """A register's value, little-endian."""
    if entry.source == "ftag":
        value = _tags(plane)
    elif entry.feature == AVX:
        value = state_names.read(plane, entry.source[:-1]) >> 128
    else:
        value = state_names.read(plane, entry.source)
    return (value & (1 << entry.bits) - 1).to_bytes(entry.bits // 8, "little")


def write(plane: Plane, entry: Entry, data: bytes) -> None:
    """Change a register. ValueError: the value does not fit."""
    value = int.from_bytes(data, "little")
    if len(data) != entry.bits // 8:
        raise ValueError(f"{entry.name}: {len(data)} bytes, not {entry.bits // 8}")
    if entry.source == "ftag":
        plane.fpu_set(fpu_layout.FTW, sum(1 << n for n in range(8) if value >> 2 * n & 3 != 3))
    elif entry.feature == AVX:
        low = state_names.read(plane, f"xmm{entry.source[3:-1]}")
        state_names.write(plane, entry.source[:-1], value << 128 | low)
    else:
        state_names.write(plane, entry.source, value & (1 << state_names.REGISTERS[entry.source].bits) - 1)


def _tags(plane: Plane) -> int:
    """The tag word as FSTENV stores it: 0 valid, 1 zero, 2 special, 3 empty (SDM Vol. 1 8.1.7)."""
    present, tags = plane.fpu_get(fpu_layout.FTW), 0
    for n in range(8):
        significand = plane.fpu_get(fpu_layout.mm(n) + fpu_layout.ST_SIGNIFICAND)
        exponent = plane.fpu_get(fpu_layout.mm(n) + fpu_layout.ST_EXPONENT) & 0x7FFF
        if not present >> n & 1:
            tag = 3
        elif exponent == 0x7FFF or not significand >> 63 and (exponent or significand):
            tag = 2
        else:
            tag = 0 if significand else 1
        tags |= tag << 2 * n
    return tags
