"""Local APIC registers, priorities, LVT and timer by Intel SDM vol. 3A chapter 11."""

import pytest

from tests.emu.irq.lapic_rig import Rig


@pytest.fixture
def r() -> Rig:
    rig = Rig()
    rig.enable()
    return rig


def fixed(rig: Rig, vector: int) -> None:
    rig.ipi(0x40000 | vector)


def test_reset_state() -> None:
    r = Rig()
    assert r.read(0x20) == 0 and r.read(0x30) == 0x01060014
    assert r.read(0xF0) == 0xFF and r.read(0xE0) == 0xFFFFFFFF
    assert all(r.read(offset) == 0x10000 for offset in (0x2F0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370))
    assert r.msrs[0].msr_read(0x1B) == 0xFEE00900


def test_ids() -> None:
    r = Rig(3)
    assert [r.read(0x20, cpu) for cpu in range(3)] == [0, 1 << 24, 2 << 24]
    assert r.msrs[1].msr_read(0x1B) == 0xFEE00800, "only CPU 0 has the BSP flag"


def test_fixed_interrupt_dispatch_and_eoi(r: Rig) -> None:
    fixed(r, 0x41)
    assert r.read(0x220) == 1 << 1 and r.apics[0].pending_vector() == 0x41
    assert r.apics[0].acknowledge() == 0x41
    assert r.read(0x220) == 0 and r.read(0x120) == 2 and r.read(0xA0) == 0x40
    r.write(0xB0, 0)
    assert r.read(0x120) == 0 and r.read(0xA0) == 0
    assert r.eois == [], "edge-triggered: no EOI message"


def test_priority_classes(r: Rig) -> None:
    fixed(r, 0x41)
    assert r.apics[0].acknowledge() == 0x41
    fixed(r, 0x4F)
    assert r.apics[0].pending_vector() is None, "same class waits"
    fixed(r, 0x50)
    assert r.apics[0].acknowledge() == 0x50
    r.write(0xB0, 0)
    r.write(0xB0, 0)
    assert r.apics[0].pending_vector() == 0x4F


def test_tpr_blocks_and_shows_in_ppr(r: Rig) -> None:
    r.write(0x80, 0x45)
    fixed(r, 0x4F)
    assert r.read(0xA0) == 0x45 and r.apics[0].pending_vector() is None
    r.write(0x80, 0x3F)
    assert r.apics[0].pending_vector() == 0x4F


def test_acknowledge_with_nothing_left_gives_the_spurious_vector(r: Rig) -> None:
    fixed(r, 0x41)
    r.write(0x80, 0xF0)
    assert r.apics[0].acknowledge() == 0xFF and r.read(0x120) == 0


def test_software_disable_masks_lvts_and_refuses_fixed(r: Rig) -> None:
    r.write(0x350, 0x31)
    r.write(0xF0, 0xFF)
    assert r.read(0x350) == 0x10031
    r.write(0x350, 0x31)
    assert r.read(0x350) == 0x10031, "the mask cannot be cleared while disabled"
    fixed(r, 0x41)
    assert r.apics[0].pending_vector() is None
    r.ipi(0x400, 0)
    assert r.signals == [(0, "nmi", 2)]


def test_lvt_writable_bits(r: Rig) -> None:
    for offset, mask in ((0x320, 0x700FF), (0x330, 0x107FF), (0x340, 0x107FF), (0x350, 0x1A7FF), (0x370, 0x100FF)):
        r.write(offset, 0xFFFFFFFF)
        assert r.read(offset) == mask


def test_send_illegal_vector_and_esr_write_latches(r: Rig) -> None:
    r.write(0x370, 0x60)
    fixed(r, 0x0F)
    assert r.read(0x280) == 0
    assert r.apics[0].pending_vector() == 0x60, "error LVT"
    r.write(0x280, 0)
    assert r.read(0x280) == 1 << 5
    r.write(0x280, 0)
    assert r.read(0x280) == 0


def test_receive_illegal_vector_by_lvt(r: Rig) -> None:
    r.write(0x350, 0x05)
    r.apics[0].set_lint(0, True)
    r.write(0x280, 0)
    assert r.read(0x280) == 1 << 6


def test_illegal_register_address(r: Rig) -> None:
    assert r.read(0x40) == 0
    r.write(0x280, 0)
    assert r.read(0x280) == 1 << 7


def test_illegal_vector_in_the_error_entry_terminates(r: Rig) -> None:
    r.write(0x370, 0x01)
    r.read(0x40)
    r.write(0x280, 0)
    assert r.read(0x280) == 1 << 7 | 1 << 6


def test_level_interrupt_broadcasts_eoi_unless_suppressed(r: Rig) -> None:
    from emu.irq.apicbus import ApicMessage

    for svr, eois in ((0x1FF, [0x51]), (0x11FF, [])):
        r.write(0xF0, svr)
        r.eois.clear()
        r.bus.send(ApicMessage(0x51, level_triggered=True))
        assert r.read(0x1A0) == 1 << 17
        r.apics[0].acknowledge()
        r.write(0xB0, 0)
        assert r.eois == eois


def test_level_lint0_has_remote_irr(r: Rig) -> None:
    r.write(0x350, 0x8052)
    r.apics[0].set_lint(0, True)
    assert r.read(0x350) == 0xC052 and r.apics[0].acknowledge() == 0x52
    r.write(0xB0, 0)
    assert r.apics[0].pending_vector() == 0x52, "still asserted"
    r.apics[0].set_lint(0, False)
    r.apics[0].acknowledge()
    r.write(0xB0, 0)
    assert r.read(0x350) == 0x8052 and r.apics[0].pending_vector() is None


def test_extint_through_lint0(r: Rig) -> None:
    r.apics[0].set_lint(0, True)
    assert not r.apics[0].pending()
    r.write(0x350, 0x700)
    assert r.apics[0].pending() and r.apics[0].pending_vector() is None
    r.write(0x80, 0xFF)
    assert r.apics[0].pending(), "ExtINT ignores priorities"
    assert r.apics[0].acknowledge() == 0x77
    r.apics[0].set_lint(0, False)
    assert not r.apics[0].pending()


def test_virtual_wire_reset_state_lets_the_8259_through() -> None:
    r = Rig(2, virtual_wire=True)
    assert (r.read(0x350), r.read(0x360), r.read(0x350, 1)) == (0x700, 0x400, 0x10000)
    r.apics[0].set_lint(0, True)
    assert r.apics[0].acknowledge() == 0x77
    r.apics[0].set_lint(1, True)
    r.apics[0].set_lint(1, True)
    assert r.signals == [(0, "nmi", 2)], "NMI is edge-triggered"


def test_disabled_apic_passes_intr_and_nmi_pins(r: Rig) -> None:
    r.msrs[0].msr_write(0x1B, 0xFEE00100)
    r.apics[0].set_lint(0, True)
    r.apics[0].set_lint(1, True)
    assert r.apics[0].acknowledge() == 0x77 and r.signals == [(0, "nmi", 2)]
    assert r.read(0x30) == 0xFFFFFFFF


def test_performance_lvt_may_mask_itself(r: Rig) -> None:
    r.write(0x340, 0x400)
    r.apics[0].raise_local(0x340)
    assert r.signals == [(0, "nmi", 2)] and r.read(0x340) == 0x400
    r.apics[0].raise_local(0x340, masks=True)
    r.apics[0].raise_local(0x340, masks=True)
    assert r.signals == [(0, "nmi", 2)] * 2 and r.read(0x340) == 0x10400


def test_init_keeps_id_and_base(r: Rig) -> None:
    fixed(r, 0x41)
    r.write(0x80, 0x20)
    r.apics[0].init()
    assert (r.read(0x80), r.read(0xF0), r.read(0x220)) == (0, 0xFF, 0)


# -- timer --


def test_one_shot(r: Rig) -> None:
    r.write(0x3E0, 0xB)
    r.write(0x320, 0x30)
    r.write(0x380, 1000)
    r.wait(400)
    assert r.read(0x390) == 600 and r.read(0x380) == 1000
    r.wait(599)
    assert r.apics[0].pending_vector() is None
    r.wait(1)
    assert r.apics[0].acknowledge() == 0x30 and r.read(0x390) == 0
    r.write(0xB0, 0)
    r.wait(5000)
    assert r.apics[0].pending_vector() is None


@pytest.mark.parametrize("code,divisor", [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])
def test_divide(r: Rig, code: int, divisor: int) -> None:
    r.write(0x3E0, code)
    r.write(0x380, 1000)
    r.wait(100 * divisor)
    assert r.read(0x390) == 900


def test_periodic(r: Rig) -> None:
    r.write(0x3E0, 0xB)
    r.write(0x320, 0x20030)
    r.write(0x380, 100)
    fired = 0
    for _ in range(1000):
        r.wait(1)
        if r.apics[0].pending():
            fired += 1
            r.apics[0].acknowledge()
            r.write(0xB0, 0)
    assert fired == 10
    r.wait(30)
    assert r.read(0x390) == 70
    r.write(0x380, 0)
    assert r.read(0x390) == 0 and r.clock.next_deadline() is None


def test_periodic_keeps_phase_after_being_masked(r: Rig) -> None:
    r.write(0x3E0, 0xB)
    r.write(0x320, 0x30030)
    r.write(0x380, 100)
    assert r.clock.next_deadline() is None
    r.wait(250)
    r.write(0x320, 0x20030)
    assert r.clock.next_deadline() == 300


def test_change_of_mode_keeps_the_count_and_zero_stays_zero(r: Rig) -> None:
    r.write(0x3E0, 0xB)
    r.write(0x320, 0x20030)
    r.write(0x380, 100)
    r.wait(140)
    r.write(0x320, 0x30)
    assert r.read(0x390) == 60
    r.wait(60)
    assert r.read(0x390) == 0
    r.write(0x320, 0x20030)
    r.wait(10)
    assert r.read(0x390) == 0


def test_change_of_divide_while_running(r: Rig) -> None:
    r.write(0x3E0, 0xB)
    r.write(0x380, 100)
    r.wait(50)
    r.write(0x3E0, 0x0)
    r.wait(20)
    assert r.read(0x390) == 40


def test_tsc_deadline(r: Rig) -> None:
    msrs = r.msrs[0]
    msrs.msr_write(0x6E0, 500)
    assert msrs.msr_read(0x6E0) == 0, "ignored in other modes"
    r.write(0x320, 0x40030)
    r.write(0x380, 100)
    assert r.read(0x380) == 0, "initial count ignored"
    msrs.msr_write(0x6E0, 500)
    assert msrs.msr_read(0x6E0) == 500
    r.wait(499)
    assert not r.apics[0].pending()
    r.wait(1)
    assert r.apics[0].acknowledge() == 0x30 and msrs.msr_read(0x6E0) == 0
    r.write(0xB0, 0)
    msrs.msr_write(0x6E0, 5)
    r.wait(0)
    assert r.apics[0].pending_vector() == 0x30, "a deadline in the past fires at once"


def test_tsc_deadline_disarmed_by_zero_and_by_mode_change(r: Rig) -> None:
    r.write(0x320, 0x40030)
    r.msrs[0].msr_write(0x6E0, 500)
    r.msrs[0].msr_write(0x6E0, 0)
    assert r.clock.next_deadline() is None
    r.msrs[0].msr_write(0x6E0, 500)
    r.write(0x320, 0x30)
    assert r.clock.next_deadline() is None and r.msrs[0].msr_read(0x6E0) == 0


def test_save_and_load(r: Rig) -> None:
    fixed(r, 0x41)
    r.apics[0].acknowledge()
    fixed(r, 0x99)
    r.write(0x320, 0x20030)
    r.write(0x380, 1000)
    r.wait(300)
    other = Rig()
    other.clock.load(r.clock.save())
    other.apics[0].load(r.apics[0].save())
    assert other.apics[0].save() == r.apics[0].save()
    assert other.clock.next_deadline() == r.clock.next_deadline()
    assert other.apics[0].acknowledge() == 0x99
