"""PVH: the note that marks the file, the start state and hvm_start_info (Xen's pvh.pandoc, start_info.h)."""

import struct

import pytest

from emu.firmware_state import tables_to_come
from emu.load.image import load_bytes
from emu.load.model import Module, Request
from emu.load.sniff import sniff
from emu.machine import Machine
from tests.emu.load.build import MEMORY, elf, note, patch, pvh
from tests.emu.load.help import load, ram, refused, string, uint


@pytest.mark.parametrize(("bits", "size"), [(32, 4), (64, 4), (64, 8)])
def test_start_state(bits: int, size: int) -> None:
    boot = load("pvh", pvh(bits=bits, descriptor_size=size)).boot
    assert boot.registers["rip"] == 0x200000 and boot.registers["cr0"] & 0x80000001 == 1
    assert boot.segments["cs"].attributes == 0xC09B and boot.segments["ss"].attributes == 0xC093
    tr = boot.segments["tr"]
    assert (tr.base, tr.limit, tr.attributes) == (0, 0x67, 0x8B)


def test_start_info() -> None:
    image = load("pvh", pvh(), append="quiet", modules=(Module("rd", b"RAMDISK", "rd"),))
    fields = struct.unpack("<4I4Q2I", ram(image, image.boot.registers["rbx"], 56))
    magic, version, flags, count, modules, cmdline, rsdp, memory_map, entries, reserved = fields
    assert (magic, version, flags, count, rsdp, reserved) == (0x336EC578, 1, 0, 1, 0, 0)
    assert string(image, cmdline) == b"quiet"
    start, size, text, _ = struct.unpack("<4Q", ram(image, modules, 32))
    assert ram(image, start, size) == b"RAMDISK" and string(image, text) == b"rd"
    assert list(struct.iter_unpack("<QQII", ram(image, memory_map, 24 * entries)))[-1] == (
        0x100000, MEMORY - 0x100000, 1, 0)


def test_start_info_names_the_rsdp() -> None:
    machine = Machine(memory=MEMORY, engine="interp")
    tables = tables_to_come(machine.pc, 1)
    image = load_bytes("pvh", Request("f", pvh(), MEMORY, tables=tables))
    assert uint(image, image.boot.registers["rbx"] + 32, 8) == tables.base


def test_only_a_xen_note_of_type_18_marks_the_file() -> None:
    assert sniff("f", pvh()) == "pvh"
    other = elf(extra=[{"type": 4, "data": note(b"Xen\0", 17, bytes(4)) + note(b"GNU\0", 18, bytes(4))}])
    assert sniff("f", other) == "elf"
    refused("pvh", other, "PT_NOTE")


def test_rules() -> None:
    refused("pvh", pvh(entry=0x300000), "PHYS32_ENTRY")
    refused("pvh", pvh(entry=(1 << 32) + 0x200000, descriptor_size=8), "PHYS32_ENTRY", "4 GiB")
    refused("pvh", pvh(descriptor_size=16), "PHYS32_ENTRY", "4 or 8")
    refused("pvh", pvh(), "mode", mode=64)
    data = pvh()
    at = data.index(b"Linux\0") - 12
    refused("pvh", patch(data, at, 0xFFFFFFFF, 4), "note name")
    refused("pvh", patch(data, at + 4, 0xFFFFFFFF, 4), "note descriptor")
