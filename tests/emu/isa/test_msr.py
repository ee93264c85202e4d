"""MSRs that are state: reserved bits, memory types, machine-check registers, the TSC and its adjustment."""

from types import SimpleNamespace

import pytest

from emu.clock import Clock
from emu.irq.lapic_msr import GeneralProtection
from emu.irq.lapic_timer import TSC_DEADLINE, ApicTimer
from emu.isa.msr import Msrs
from emu.isa.msr_table import MCA_BANKS
from emu.isa.tsc import TimeStampCounter
from jit import layout

MTRRCAP, DEF_TYPE, PHYSBASE0, PHYSMASK0, FIX4K = 0xFE, 0x2FF, 0x200, 0x201, 0x268
MCG_CAP, MCG_STATUS, MC0_CTL, MC0_STATUS, MC0_ADDR, MC0_MISC = 0x179, 0x17A, 0x400, 0x401, 0x402, 0x403
MISC_ENABLE, PERF_CTL0, PERF_CTR0, FEATURE_CONTROL = 0x1A0, 0xC0010000, 0xC0010004, 0x3A
TSC, TSC_ADJUST = 0x10, 0x3B
IA32_XSS, PKG_CST_CONFIG, POWER_CTL = 0xDA0, 0xE2, 0x1FC
ONES = (1 << 64) - 1


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def msrs(reports: list[str]) -> Msrs:
    return Msrs(reports.append)


@pytest.mark.parametrize("index, value", [
    (DEF_TYPE, 0xC06), (PHYSBASE0, 0xFF000006), (PHYSMASK0, 0xFFFFFF000800), (FIX4K, 0x0605040100060504),
    (MCG_STATUS, 7), (MC0_CTL, 0), (MC0_CTL, ONES), (MC0_CTL + 16, ONES & ~(1 << 10)),
    (MC0_STATUS, 0), (MC0_ADDR, ONES), (MC0_MISC, 5 << 60),
    (PERF_CTR0, 0xFFFFFFFFFFFF), (POWER_CTL, 2)])
def test_what_may_be_written_is_kept(msrs: Msrs, index: int, value: int) -> None:
    msrs.write(index, value)
    assert msrs.read(index) == value


@pytest.mark.parametrize("index, value", [
    (MTRRCAP, 0), (MCG_CAP, 0), (FEATURE_CONTROL, 1), (PKG_CST_CONFIG, 0),           # read-only, and locked
    (DEF_TYPE, 0x102), (DEF_TYPE, 1 << 12), (DEF_TYPE, 7),      # reserved bits, reserved type
    (PHYSBASE0, 0xFF000002), (PHYSBASE0, 0x106), (PHYSBASE0, 1 << 60), (PHYSMASK0, 0x400), (FIX4K, 0x02),
    (MCG_STATUS, 8), (MC0_CTL, 1), (MC0_STATUS, 1), (PERF_CTL0, 1 << 21)])
def test_reserved_values_are_general_protection(msrs: Msrs, index: int, value: int) -> None:
    before = msrs.read(index)
    with pytest.raises(GeneralProtection):
        msrs.write(index, value)
    assert msrs.read(index) == before


def test_banks_beyond_those_of_mcg_cap_do_not_exist(msrs: Msrs) -> None:
    banks = msrs.read(MCG_CAP) & 0xFF
    assert banks == MCA_BANKS
    msrs.read(MC0_MISC + 4 * (banks - 1))
    for index in range(MC0_CTL + 4 * banks, MC0_CTL + 4 * 32):
        with pytest.raises(GeneralProtection):
            msrs.read(index)


def test_read_only_bits_of_misc_enable_stay(msrs: Msrs) -> None:
    reset = msrs.read(MISC_ENABLE)
    msrs.write(MISC_ENABLE, 1 << 18)
    assert msrs.read(MISC_ENABLE) == 1 << 18 | reset & 0x1880


def test_bits_without_an_effect_are_reported_once(msrs: Msrs, reports: list[str]) -> None:
    msrs.write(MISC_ENABLE, 0x1801)
    assert reports == []
    msrs.write(MISC_ENABLE, 0x1801 | 1 << 22)
    msrs.write(MISC_ENABLE, 0x1801 | 1 << 22)
    assert len(reports) == 1 and "IA32_MISC_ENABLE" in reports[0]


class Plane(dict[int, int]):
    def set(self, offset: int, value: int) -> None:
        self[offset] = value

    def get(self, offset: int) -> int:  # type: ignore[override]
        return self.__getitem__(offset)


def test_tsc_and_its_adjustment_move_together() -> None:
    """SDM Vol. 3B 17.17.3: each write to one adds the same difference to the other."""
    clock = Clock()
    timer = ApicTimer(clock, 1_000_000_000, lambda: None)
    plane = Plane({layout.TSC_OFFSET: 0, layout.TSC_RATIO: layout.TSC_RATIO_ONE})
    vcpu = SimpleNamespace(plane=plane, machine=SimpleNamespace(clock=clock),
                           lapic=SimpleNamespace(timer=timer))
    tsc = TimeStampCounter(vcpu)        # type: ignore[arg-type]
    clock.skip_to(1_000)
    tsc.msr_write(TSC_ADJUST, 500)
    assert (tsc.msr_read(TSC), tsc.msr_read(TSC_ADJUST)) == (1_500, 500)
    tsc.msr_write(TSC, 100)
    assert (tsc.msr_read(TSC), tsc.msr_read(TSC_ADJUST)) == (100, -900 & ONES)


def test_an_armed_deadline_follows_the_tsc() -> None:
    fired: list[int] = []
    clock = Clock()
    timer = ApicTimer(clock, 1_000_000_000, lambda: fired.append(clock.now))
    timer.write_control(TSC_DEADLINE, masked=False)
    timer.deadline = 10_000
    timer.set_tsc_offset(-4_000 & ONES)
    assert clock.next_deadline() == 14_000
    timer.set_tsc_offset(9_000)
    assert clock.next_deadline() == 1_000


@pytest.mark.parametrize(("offered", "kept", "refused"), [
    ("ibrs amd_stibp amd_ssbd amd_psfd", 0x87, 0x08), ("ibrs", 0x01, 0x02), ("spec_ctrl", 0x03, 0x04),
    ("amd_ssbd", 0x04, 0x01), ("spec_ctrl ssbd", 0x07, 0x80)])
def test_spec_ctrl_has_the_bits_that_cpuid_names(reports: list[str], offered: str, kept: int, refused: int) -> None:
    """SDM Vol. 4, IA32_SPEC_CTRL; APM Vol. 2 3.2.9."""
    msrs = Msrs(reports.append, lambda name: name in offered.split())
    msrs.write(0x48, kept)
    with pytest.raises(GeneralProtection):
        msrs.write(0x48, kept | refused)
    assert msrs.read(0x48) == kept
    assert reports == []


def test_without_its_extensions_spec_ctrl_does_not_exist(reports: list[str]) -> None:
    msrs = Msrs(reports.append, lambda name: name == "msr")
    for index in (0x48, 0x49):
        assert not msrs.has(index)


def test_a_barrier_can_be_written_only(msrs: Msrs) -> None:
    """SDM Vol. 4, IA32_PRED_CMD."""
    msrs.write(0x49, 1)
    msrs.write(0x49, 0)
    for access in (lambda: msrs.read(0x49), lambda: msrs.write(0x49, 2)):
        with pytest.raises(GeneralProtection):
            access()
