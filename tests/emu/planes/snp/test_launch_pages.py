"""CPUID and secrets pages, and VMSAs after reset (FWABI 8.17.2; offsets written down apart from the code)."""

import struct

import pytest

from emu.isa import cpu as cpus
from emu.isa.cpuid import Cpuid
from emu.planes.snp import cpuid_page, secrets_page
from emu.planes.snp.cpuid_page import Entry
from emu.planes.snp.initial_vmsa import reset_vmsa
from emu.planes.snp.vmsa import Vmsa

KEYS = [bytes([n]) * 32 for n in range(1, 5)]


@pytest.fixture
def cpu():
    return Cpuid(cpus.parse("EPYC-Genoa"), 0, 2)


def test_cpuid_page_layout():
    page = cpuid_page.pack([Entry(0x8000001F, 0, 0, 0, 1, 2, 3, 4), Entry(0xD, 1, 7, 9, 5, 6, 7, 8)])
    assert len(page) == 4096 and page[:16] == b"\2" + bytes(15)
    assert struct.unpack_from("<IIQQIIIIQ", page, 16) == (0x8000001F, 0, 0, 0, 1, 2, 3, 4, 0)
    assert struct.unpack_from("<IIQQIIIIQ", page, 64) == (0xD, 1, 7, 9, 5, 6, 7, 8, 0)
    assert cpuid_page.unpack(page)[1].registers == (5, 6, 7, 8)


def test_cpuid_page_has_64_entries_at_most():
    rows = [Entry(n, 0, 0, 0, 0, 0, 0, 0) for n in range(65)]
    assert len(cpuid_page.unpack(cpuid_page.pack(rows[:64]))) == 64
    with pytest.raises(ValueError, match="64"):
        cpuid_page.pack(rows)
    with pytest.raises(ValueError, match="65"):
        cpuid_page.unpack(struct.pack("<I", 65) + bytes(4092))


def test_the_page_says_what_the_processor_says(cpu):
    rows = cpuid_page.unpack(cpuid_page.contents(b"", cpu.read))
    assert {0, 1, 7, 0xD, 0x80000000, 0x80000001, 0x80000008} <= {row.function for row in rows} and len(rows) <= 64
    for row in rows:
        assert row.registers == cpu.read(row.function, row.subleaf)
        assert (row.xcr0, row.xss) == ((1, 0) if row.function == 0xD and row.subleaf < 2 else (0, 0))


def test_functions_that_a_file_asks_for_are_added(cpu):
    wanted = cpuid_page.pack([Entry(1, 0, 0, 0, 9, 9, 9, 9), Entry(0x8000FFFF, 3, 0, 0, 9, 9, 9, 9)])
    rows = {row[:2]: row for row in cpuid_page.unpack(cpuid_page.contents(wanted, cpu.read))}
    assert rows[1, 0].registers == cpu.read(1, 0) and rows[0x8000FFFF, 3].registers == (0, 0, 0, 0)


def test_firmware_corrects_features_that_the_processor_does_not_have(cpu):
    own = cpu.read(7, 0)
    assert cpuid_page.corrected(cpuid_page.contents(b"", cpu.read), cpu.read) is None
    missing = 1 << 14                                   # MPX: no AMD processor has it
    page = cpuid_page.pack([Entry(7, 0, 0, 0, own[0], own[1] | missing, own[2], own[3])])
    assert cpuid_page.unpack(cpuid_page.corrected(page, cpu.read))[0].registers == own
    fewer = cpuid_page.pack([Entry(7, 0, 0, 0, 0, own[1] & own[1] - 1, 0, 0)])
    assert cpuid_page.corrected(fewer, cpu.read) is None
    size = cpuid_page.pack([Entry(0xD, 2, 0, 0, 1 << 20, *cpu.read(0xD, 2)[1:])])
    assert cpuid_page.unpack(cpuid_page.corrected(size, cpu.read))[0].eax == cpu.read(0xD, 2)[0]


def test_secrets_page_layout():
    page = secrets_page.build(KEYS, 0xA10F11, tsc_factor=200, tweak=b"\7" * 64)
    assert len(page) == 4096
    assert struct.unpack_from("<III", page) == (4, 0, 0xA10F11)
    assert page[0x20:0xA0] == b"".join(KEYS) and page[0xA0:0x100] == bytes(96)
    assert page[0x100:0x140] == b"\7" * 64 and not any(page[0x140:0x160]) and page[0x160:0x164] == b"\xc8\0\0\0"
    assert secrets_page.key(page, 2) == KEYS[2]
    with pytest.raises(ValueError, match="32 bytes"):
        secrets_page.build(KEYS[:3], 0)


def test_the_copy_for_a_lower_vmpl_lacks_the_keys_above_it():
    page = secrets_page.for_lower_vmpl(secrets_page.build(KEYS, 1), 2, 0x8000000000, 0x100000, 0x9000)
    assert page[0x20:0x60] == bytes(64) and page[0x60:0xA0] == KEYS[2] + KEYS[3]
    assert struct.unpack_from("<QQQIB", page, 0x140) == (0x8000000000, 0x100000, 0x9000, 1, 2)


def test_a_vmsa_after_reset():
    page = Vmsa(bytearray(reset_vmsa(0xA10F11, 0x20)))
    assert page["rip"] == 0xFFF0 and page["cs_base"] == 0xFFFF0000 and page["cs_selector"] == 0xF000
    assert page["sev_features"] == 0x21 and page["efer"] == 0x1000 and page["rdx"] == 0xA10F11
    assert Vmsa(bytearray(reset_vmsa(1, 1, 0x80B004)))["rip"] == 0xB004
