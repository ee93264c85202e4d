"""The tables, read back by offsets of the ACPI specification 6.4."""

import struct

import pytest

from emu.acpi import aml, tables
from emu.acpi.dsdt import pci_irq

BASE = 0xF0000


def at(blob: bytes, address: int) -> bytes:
    """The table at a physical address."""
    start = address - BASE
    size = struct.unpack_from("<I", blob, start + 4)[0]
    return blob[start:start + size]


@pytest.fixture(scope="module")
def blob() -> bytes:
    return tables.build(BASE, 4, 256 << 20)


def entries(blob: bytes) -> dict[bytes, bytes]:
    xsdt = at(blob, struct.unpack_from("<Q", blob, 24)[0])
    found = [at(blob, address) for address in struct.unpack(f"<{(len(xsdt) - 36) // 8}Q", xsdt[36:])]
    return {table[:4]: table for table in (xsdt, *found)}


def test_rsdp_has_both_checksums_and_both_roots(blob):
    assert blob[:8] == b"RSD PTR " and blob[15] == 2 and struct.unpack_from("<I", blob, 20)[0] == 36
    assert sum(blob[:20]) & 0xFF == 0 and sum(blob[:36]) & 0xFF == 0
    rsdt, xsdt = struct.unpack_from("<I", blob, 16)[0], struct.unpack_from("<Q", blob, 24)[0]
    assert at(blob, rsdt)[:4] == b"RSDT" and at(blob, xsdt)[:4] == b"XSDT"
    wide = struct.unpack("<3Q", at(blob, xsdt)[36:])
    assert wide == struct.unpack("<3I", at(blob, rsdt)[36:])


def test_every_table_sums_to_zero(blob):
    found = entries(blob)
    assert set(found) == {b"XSDT", b"FACP", b"APIC", b"HPET"}
    dsdt = at(blob, struct.unpack_from("<Q", found[b"FACP"], 140)[0])
    for table in (*found.values(), dsdt):
        assert sum(table) & 0xFF == 0
    assert dsdt[:4] == b"DSDT"


def test_fadt_names_the_power_management_ports_twice(blob):
    fadt = entries(blob)[b"FACP"]
    assert len(fadt) == 244
    assert struct.unpack_from("<HIBB", fadt, 46) == (9, 0xB2, 0xF1, 0xF0)
    event, control, timer = (struct.unpack_from("<I", fadt, offset)[0] for offset in (56, 64, 76))
    assert (event, control, timer) == (0x600, 0x604, 0x608)
    for offset, port, bits in ((148, event, 32), (172, control, 16), (208, timer, 32), (116, 0xCF9, 8)):
        assert struct.unpack_from("<BB2xQ", fadt, offset) == (1, bits, port)
    assert fadt[128] == 6 and struct.unpack_from("<I", fadt, 112)[0] & 1 << 10       # reset register


def test_madt_lists_processors_and_overrides(blob):
    madt = entries(blob)[b"APIC"]
    assert struct.unpack_from("<II", madt, 36) == (0xFEE00000, 1)
    found, offset = [], 44
    while offset < len(madt):
        found.append(madt[offset:offset + madt[offset + 1]])
        offset += madt[offset + 1]
    assert [e[3] for e in found if e[0] == 0] == [0, 1, 2, 3]
    assert [struct.unpack_from("<II", e, 4) for e in found if e[0] == 1] == [(0xFEC00000, 0)]
    overrides = {e[3]: struct.unpack_from("<IH", e, 4) for e in found if e[0] == 2}
    assert overrides == {0: (2, 0), 9: (9, 0xD), 10: (10, 0xD), 11: (11, 0xD)}
    assert [e[2:] for e in found if e[0] == 4] == [b"\xff\0\0\x01"]


def test_dmar_describes_the_iommu_where_there_is_one():
    dmar = entries(tables.build(BASE, 1, 256 << 20, True))[b"DMAR"]
    assert (dmar[36], dmar[37]) == (47, 1) and sum(dmar) & 0xFF == 0
    assert struct.unpack_from("<HHBxHQ", dmar, 48) == (0, 24, 1, 0, 0xFED90000)
    assert dmar[64:66] == b"\x03\x08" and len(dmar) == 72


def test_pins_rotate_by_slot():
    assert [pci_irq(slot, 0) for slot in (1, 2, 3, 4, 5)] == [10, 10, 11, 11, 10]
    assert [pci_irq(3, pin) for pin in range(4)] == [11, 11, 10, 10]


@pytest.mark.parametrize("size, encoded", [(0, "01"), (62, "3f"), (63, "4104"), (0xFFD, "4fff"), (0xFFE, "810001")])
def test_package_lengths_count_themselves(size, encoded):
    assert aml.package_length(size).hex() == encoded


def test_terms():
    assert aml.eisa_id("PNP0A03") == b"\x0c\x41\xd0\x0a\x03"
    assert aml.name("_UID", aml.integer(0x1234)) == b"\x08_UID\x0b\x34\x12"
    assert aml.package([aml.integer(0), aml.integer(0xFFFFFFFFFF)]) == b"\x12\x0c\x02\x00\x0e\xff\xff\xff\xff\xff\0\0\0"
    assert aml.scope("\\_SB_", [aml.device("ISA_", [])]) == b"\x10\x0d\\_SB_\x5b\x82\x05ISA_"
    with pytest.raises(ValueError, match="at most four"):
        aml.path("LONGER")
