"""HLT and what ends it; hwN: number in the scenario list of halting and waiting (tests/scenarios/wait.json)."""
import pytest

from emu.digest import digest
from emu.irq.apicbus import ApicMessage
from emu.waiting import HALTED, RUNNING, WAIT_FOR_SIPI
from jit import layout
from tests.emu.flat import CODE, IF, STACK, STACK_0, Flat

HLT, STI, CLI, NOP = "f4", "fb", "fa", "90"



def frame_rip(g):
    """RIP that the handler which ran last was to return to."""
    return g.read(STACK + 0x1000 - 40) - CODE


def test_hw01_an_interrupt_that_waits_keeps_hlt_from_sleeping(g):
    g.code(CLI + STI + HLT + NOP)
    g.interrupt()
    seen = []
    g.vcpu.waiting.begin = lambda plane, activity, begin=g.vcpu.waiting.begin: (
        begin(plane, activity), seen.append(plane.get(layout.ACTIVITY)))
    g.run(4)
    assert seen == [RUNNING] and frame_rip(g) == 3 and g.count(0x50) == 1


@pytest.mark.parametrize("early", (True, False))
def test_hw02_sti_hlt_takes_one_interrupt_after_hlt(g, early):
    """It comes before STI, or between STI and HLT."""
    g.code(CLI + STI + HLT + NOP)
    if early:
        g.interrupt()
    g.run(2)
    if not early:
        g.interrupt()
    g.run()
    assert g.count(0x50) == 1 and frame_rip(g) == 3 and g.rip() == 5


def test_hw03_without_if_an_interrupt_waits_and_an_nmi_wakes(g):
    g.code(HLT + NOP)
    g.interrupt()
    assert g.run() == "halted" and g.activity() == HALTED and g.rip() == 1
    g.nmi()
    g.run()
    assert (g.count(2), g.count(0x50)) == (1, 0) and frame_rip(g) == 1 and g.rip() == 3
    assert g.vcpu.lapic.irr == 1 << 0x50


def test_hw04_a_masked_priority_wakes_only_once_somebody_else_lowers_it(g):
    g.vcpu.lapic.write_register(0x80, 0x50)
    g.code(HLT + NOP, rflags=IF)
    g.interrupt()
    assert g.run() == "halted" and g.activity() == HALTED
    g.vcpu.lapic.write_register(0x80, 0x40)
    g.run()
    assert g.count(0x50) == 1 and frame_rip(g) == 1


def test_hw05_a_second_nmi_does_not_wake_the_first_ones_handler(g):
    g.code(HLT + NOP, rflags=IF)
    g.plane.set(layout.NMI_BLOCKED, 1)
    g.nmi()
    assert g.run() == "halted" and g.activity() == HALTED and g.plane.get(layout.NMI) == 1
    g.interrupt()
    g.run(3)
    assert g.count(0x50) == 1 and frame_rip(g) == 1


def test_hw06_hlt_is_for_cpl_0(g):
    g.long_mode(g.plane, user=True)
    g.code(HLT)
    g.plane.set(layout.gpr(4), STACK)
    g.run(2)
    assert g.count(13) == 1 and g.activity() == RUNNING and g.read(STACK_0 - 40) == CODE


def test_hw07_single_stepping_goes_over_hlt(g):
    """The STI shadow does not hold #DB back: one comes before HLT; the one after HLT ends it (SDM Vol. 2A HLT)."""
    g.code(STI + HLT + NOP, rflags=1 << 8)
    g.run(2)
    assert g.count(1) == 1 and frame_rip(g) == 1
    g.run(3)                                                # IRET, HLT, the first instruction of the handler
    assert g.count(1) == 2 and frame_rip(g) == 2 and g.activity() == RUNNING


def test_hw09_init_and_start_up_of_a_halted_processor():
    g = Flat(vcpus=2)
    g.code(HLT)
    g.code(HLT, vcpu=1)
    g.run()
    signal = g.m._signal
    signal(1, "init", 0)
    assert g.activity(1) == WAIT_FOR_SIPI
    g.nmi(1)
    g.run()
    assert g.activity(1) == WAIT_FOR_SIPI
    second = g.m.vcpus[1].plane
    second.set(layout.NMI, 0)
    signal(1, "sipi", 0x9A)
    assert second.get(layout.seg(layout.CS)) == 0x9A00
    assert second.get(layout.seg(layout.CS, layout.SEG_BASE)) == 0x9A000 and second.get(layout.RIP) == 0
    second.set(layout.RIP, 0x33)
    signal(1, "sipi", 0x10)
    assert second.get(layout.RIP) == 0x33


def test_hw47_the_hypervisors_idle_state_ends_by_a_masked_interrupt():
    from tests.emu.planes.vsm.guest import CODE as VTL0_CODE
    from tests.emu.planes.vsm.guest import RCX, Guest
    g = Guest()
    g.reg(RCX, 0x400000F0)
    g.m.dma_write(VTL0_CODE, bytes.fromhex("0f3290"))       # rdmsr
    g.vcpu.run(1)
    assert not g.vcpu.runs()
    g.vcpu.lapics[0].write_register(0xF0, 0x1FF)
    g.vcpu.lapics[0].accept(ApicMessage(0x50))
    g.m._wake()
    assert g.vcpu.runs() and g.reg(layout.RIP) == VTL0_CODE + 2 and g.vcpu.lapics[0].irr == 1 << 0x50


def test_hw48_all_asleep_for_good_is_reported_at_once():
    g = Flat(vcpus=2)
    for vcpu in (0, 1):
        g.code(CLI + HLT, vcpu=vcpu)
    stop = g.m.run(max_insns=1000)
    assert stop.reason == "halted" and "nothing can wake" in stop.message and g.m.icount == 4


def test_hw50_a_spinner_lets_the_holder_of_the_lock_run():
    """vCPU 0 spins with PAUSE on what vCPU 1 writes: each look costs a turn, not a whole quantum."""
    g = Flat(vcpus=2)
    g.code("f390" "803e00" "74f9", rsi=0x80000)             # pause; cmp byte [rsi], 0; je
    g.code("b9e8030000" "ffc9" "75fc" "c60601", vcpu=1, rsi=0x80000)    # 1,000 rounds; mov byte [rsi], 1
    g.run(20_000)
    assert g.rip() == 8 and g.m.vcpus[0].icount < 2_000


SPIN = ("f390" "803e00" "74f9", dict(rsi=0x80000))


def test_where_all_spin_turns_become_long():
    """Else passing turns on would cost more than the guests' instructions."""
    g = Flat(vcpus=2)
    for vcpu in (0, 1):
        g.code(SPIN[0], vcpu=vcpu, **SPIN[1])
    turns, run = [], g.m._run
    g.m._run = lambda vcpu, size: (turns.append(vcpu.index), run(vcpu, size))[1]
    g.run(100_000)
    assert 32 < len(turns) < 60 and set(turns) == {0, 1}
    g.code("b9e8030000" "ffc9" "75fc" "c60601" "ebfe", vcpu=1, rsi=0x80000)     # as above, then loops
    g.run(30_000)                               # the spinner sees it after one of vCPU 1's turns
    assert g.rip() == 8


def test_turns_of_spinners_do_not_depend_on_where_a_run_is_cut():
    states = []
    for step in (60_000, 7, 1_001):
        g = Flat(vcpus=3)
        for vcpu in (0, 1):
            g.code(SPIN[0], vcpu=vcpu, **SPIN[1])
        g.code("b988130000" "ffc9" "75fc" "f390" "ebf5", vcpu=2)        # 5,000 rounds; pause; again
        while g.m.icount < 60_000:
            g.m.run(max_insns=min(step, 60_000 - g.m.icount))
        states.append((digest(g.m), g.m.turn, g.m.turn_left, g.m.patience, [v.icount for v in g.m.vcpus]))
    assert states[0] == states[1] == states[2]
