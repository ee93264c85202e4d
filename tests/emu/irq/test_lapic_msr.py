"""IA32_APIC_BASE transitions and x2APIC MSR faults (SDM vol. 3A, 11.4.4 and 11.12)."""

import pytest

from emu.irq.lapic_msr import GeneralProtection, LapicMsrs
from tests.emu.irq.lapic_rig import Rig

XAPIC, X2APIC, OFF = 0xFEE00900, 0xFEE00D00, 0xFEE00100


@pytest.fixture
def r() -> Rig:
    rig = Rig()
    rig.enable()
    return rig


def test_mode_transitions(r: Rig) -> None:
    m = r.msrs[0]
    m.msr_write(0x1B, X2APIC)
    assert m.msr_read(0x1B) == X2APIC
    with pytest.raises(GeneralProtection):
        m.msr_write(0x1B, XAPIC)
    with pytest.raises(GeneralProtection):
        m.msr_write(0x1B, OFF | 1 << 10)
    m.msr_write(0x1B, OFF)
    with pytest.raises(GeneralProtection):
        m.msr_write(0x1B, X2APIC)
    m.msr_write(0x1B, XAPIC)
    assert r.read(0xF0) == 0xFF, "re-enabling resets the state"


def test_base_reserved_bits_and_bsp_flag(r: Rig) -> None:
    for bit in (0, 7, 9, 48, 63):
        with pytest.raises(GeneralProtection):
            r.msrs[0].msr_write(0x1B, XAPIC | 1 << bit)
    r.msrs[0].msr_write(0x1B, 0xFED00800)
    assert r.msrs[0].msr_read(0x1B) == 0xFED00900, "BSP is read-only"


def test_x2apic_msrs_fault_in_xapic_mode(r: Rig) -> None:
    with pytest.raises(GeneralProtection):
        r.msrs[0].msr_read(0x802)
    with pytest.raises(GeneralProtection):
        r.msrs[0].msr_write(0x808, 0)


def test_state_is_kept_entering_x2apic_and_the_page_goes(r: Rig) -> None:
    r.write(0x80, 0x20)
    r.to_x2apic()
    assert r.msrs[0].msr_read(0x808) == 0x20 and r.msrs[0].msr_read(0x80F) == 0x1FF
    assert r.read(0x80) == 0xFFFFFFFF
    r.write(0x80, 0x30)
    assert r.msrs[0].msr_read(0x808) == 0x20


@pytest.mark.parametrize("index", [0x800, 0x80B, 0x80E, 0x831, 0x83F, 0x840, 0x8FF, 0x809, 0x80C])
def test_read_faults(r: Rig, index: int) -> None:
    r.to_x2apic()
    with pytest.raises(GeneralProtection):
        r.msrs[0].msr_read(index)


@pytest.mark.parametrize(
    "index,value",
    [
        (0x802, 0), (0x803, 0), (0x80A, 0), (0x80D, 0), (0x810, 0), (0x818, 0), (0x820, 0), (0x839, 0), (0x80E, 0),
        (0x831, 0), (0x80B, 1), (0x828, 1), (0x808, 0x100), (0x80F, 0x200), (0x832, 0x100), (0x835, 1 << 17),
        (0x838, 1 << 32), (0x83E, 4), (0x83F, 0x100), (0x830, 1 << 12), (0x830, 1 << 20), (0x8FF, 0),
    ],
)  # fmt: skip
def test_write_faults(r: Rig, index: int, value: int) -> None:
    r.to_x2apic()
    with pytest.raises(GeneralProtection):
        r.msrs[0].msr_write(index, value)


def test_read_only_status_bits_are_ignored_not_reserved(r: Rig) -> None:
    r.to_x2apic()
    r.msrs[0].msr_write(0x835, 1 << 14 | 1 << 12 | 0x8031)
    assert r.msrs[0].msr_read(0x835) == 0x8031


def test_register_round_trips(r: Rig) -> None:
    r.to_x2apic()
    for index, value in ((0x808, 0x35), (0x832, 0x20031), (0x837, 0x44), (0x83E, 3), (0x82F, 0x10400)):
        r.msrs[0].msr_write(index, value)
        assert r.msrs[0].msr_read(index) == value
    r.msrs[0].msr_write(0x830, 5 << 32 | 0x41)
    assert r.msrs[0].msr_read(0x830) == 5 << 32 | 0x41


def test_ownership() -> None:
    assert LapicMsrs.owns(0x1B) and LapicMsrs.owns(0x6E0) and LapicMsrs.owns(0x8FF) and not LapicMsrs.owns(0x10)
    with pytest.raises(KeyError):
        Rig().msrs[0].msr_read(0x10)
