"""IPIs and messages between local APICs: destinations, shorthands, delivery modes (SDM vol. 3A, 11.6, 11.11, 11.12)."""

import pytest

from emu.irq.apicbus import ApicMessage
from tests.emu.irq.lapic_rig import Rig


def took(rig: Rig, vector: int) -> list[int]:
    return [cpu for cpu, apic in enumerate(rig.apics) if apic.irr >> vector & 1]


@pytest.fixture
def r() -> Rig:
    rig = Rig(4)
    rig.enable()
    return rig


@pytest.mark.parametrize(
    "low,destination,cpus",
    [
        (0x00041, 2, [2]),
        (0x00041, 0xFF, [0, 1, 2, 3]),
        (0x40041, 9, [1]),
        (0x80041, 9, [0, 1, 2, 3]),
        (0xC0041, 9, [0, 2, 3]),
        (0x00041, 9, []),
    ],
)
def test_physical_and_shorthands(r: Rig, low: int, destination: int, cpus: list[int]) -> None:
    r.ipi(low, destination, cpu=1)
    assert took(r, 0x41) == cpus
    assert not r.read(0x300, 1) & 1 << 12, "delivery status reads idle"


def test_logical_flat(r: Rig) -> None:
    for cpu in range(4):
        r.write(0xD0, 1 << (24 + cpu), cpu)
    r.ipi(0x00841, 0b0110)
    assert took(r, 0x41) == [1, 2]


def test_logical_cluster(r: Rig) -> None:
    for cpu, ldr in enumerate((0x11, 0x12, 0x21, 0x22)):
        r.write(0xE0, 0x0FFFFFFF, cpu)
        r.write(0xD0, ldr << 24, cpu)
    r.ipi(0x00841, 0x23)
    assert took(r, 0x41) == [2, 3]
    r.ipi(0x00842, 0xF1)
    assert took(r, 0x42) == [0, 2], "cluster 15 is a broadcast to all clusters"


def test_lowest_priority_takes_one_by_ppr(r: Rig) -> None:
    for cpu, tpr in enumerate((0x50, 0x30, 0x20, 0x20)):
        r.write(0x80, tpr, cpu)
    r.ipi(0x00141, 0xFF)
    assert took(r, 0x41) == [2]


def test_init_sipi_nmi_smi(r: Rig) -> None:
    r.ipi(0x0C500, 1)
    r.ipi(0x08500, 1)
    r.ipi(0x00699, 1)
    r.ipi(0x00400, 2)
    r.ipi(0x00200, 3)
    assert r.signals == [(1, "init", 0), (1, "sipi", 0x99), (2, "nmi", 2), (3, "smi", 0)]


def test_nmi_to_all_but_self(r: Rig) -> None:
    r.ipi(0xC0400, 0)
    assert [cpu for cpu, *_ in r.signals] == [1, 2, 3]


def test_invalid_combination_is_reported_once(r: Rig) -> None:
    r.ipi(0x40500)
    r.ipi(0x40500)
    assert r.signals == [] and len(r.reports) == 1 and "INIT" in r.reports[0]


def test_msi(r: Rig) -> None:
    assert r.bus.send_msi(0xFEE03000, 0x0044) == 1
    assert took(r, 0x44) == [3]
    assert r.bus.send_msi(0xFEE09000, 0x0044) == 0


def test_disabled_apic_takes_nothing(r: Rig) -> None:
    r.msrs[2].msr_write(0x1B, 0xFEE00000)
    r.ipi(0x80041)
    assert took(r, 0x41) == [0, 1, 3]


# -- x2APIC --


def test_x2apic_physical_and_logical(r: Rig) -> None:
    r.to_x2apic()
    r.msrs[0].msr_write(0x830, 3 << 32 | 0x41)
    assert took(r, 0x41) == [3]
    assert r.msrs[2].msr_read(0x80D) == 1 << 2 and r.msrs[2].msr_read(0x802) == 2
    r.msrs[0].msr_write(0x830, 0b0101 << 32 | 0x842)
    assert took(r, 0x42) == [0, 2]
    r.msrs[0].msr_write(0x830, 0xFFFFFFFF << 32 | 0x43)
    assert took(r, 0x43) == [0, 1, 2, 3]
    r.msrs[0].msr_write(0x830, 0xFF << 32 | 0x44)
    assert took(r, 0x44) == [], "0xFF is an ordinary ID in x2APIC mode"


def test_self_ipi(r: Rig) -> None:
    r.to_x2apic()
    r.msrs[1].msr_write(0x83F, 0x55)
    assert took(r, 0x55) == [1]


def test_narrow_message_reaches_x2apic_cpu_by_id(r: Rig) -> None:
    r.to_x2apic()
    r.bus.send(ApicMessage(0x61, destination=1))
    assert took(r, 0x61) == [1]
