"""Which plane runs under each policy; plN: number in the scenario list of KVM planes (tests/scenarios/planes.json)."""
import itertools

import pytest

from emu.planes.kvm.dialects import KvmError
from emu.planes.policies import PRESETS, mpp, parse
from jit import group_layout, layout
from tests.emu.planes.kvm.guest import CALL, HLT, NOP, RETURN, RUN, VMCALL, Kvm

IF = 1 << 9
EAGAIN, EINVAL = (1 << 64) - 11, (1 << 64) - 22


def suspended(g):
    """The planes that were put aside by calls and interrupts."""
    g.vcpus[0]._out()
    return g.run_area.suspended_planes


def three(policy, **options):
    """Planes 0, 1 and 2, the least privileged one running."""
    g = Kvm(policy, planes=3, **options)
    if policy.startswith(("LOWEST", "MPP(0)", "TDX", "CCA")):
        g.vcpus[0]._activate(2)
        g.vcpus[2].set_run_state(True)
        g.vcpus[0].set_run_state(False)
    return g


def test_pl01_an_interrupt_for_the_middle_plane_under_each_policy():
    g = three("HIGHEST_RUNNABLE")
    g.irq(1)
    g.steps(0)
    assert g.path() == [(0, 1, "interrupt")] and suspended(g) == 0b001
    g = Kvm("MPP(2)", planes=3)
    g.irq(1)
    g.steps(0)
    assert g.path() == [(0, 2, "interrupt")] and g.vcpu.group.get(group_layout.NOTICES) == 0b010
    g = three("LOWEST_RUNNABLE")
    g.irq(1)
    g.steps(1)
    assert g.path() == []
    for asked, target in ((0b010, 0b010), (0b100, None)):
        g = Kvm("USER", planes=3)
        g.at(0, HLT)
        g.run_area.req_exit_planes = asked
        g.irq(1)
        if target is None:
            with pytest.raises(KvmError):
                g.vcpus[0].run()
        else:
            assert g.vcpus[0].run() == 40 and g.run_area.plane_event.target == target


def test_pl02_two_higher_pending_the_highest_first_then_the_other():
    g = three("HIGHEST_RUNNABLE")
    g.at(2, VMCALL, rax=RETURN)
    g.irq(1)
    g.irq(2)
    g.steps(0)
    assert g.active == 2
    g.take(2)
    g.steps(1)
    assert g.path() == [(0, 2, "interrupt"), (2, 0, "return"), (0, 1, "interrupt")] and g.where(0) == 0


def test_pl03_returns_unwind_what_was_suspended():
    g = three("HIGHEST_RUNNABLE")
    for n in (1, 2):
        g.at(n, VMCALL + NOP, rax=RETURN)
    g.irq(1)
    g.steps(0)
    g.take(1)
    g.irq(2)
    g.steps(0)
    assert g.active == 2 and suspended(g) == 0b011
    g.take(2)
    g.steps(1)
    assert g.active == 1 and g.where(1) == 0
    g.steps(1)
    assert g.active == 0 and g.where(0) == 0


def test_pl04_a_masked_priority_holds_a_plane_back():
    g = three("HIGHEST_RUNNABLE")
    g.vcpu.lapics[1].write_register(0x80, 0xC0)
    g.irq(1)
    g.steps(1)
    assert g.active == 0 and g.where(0) == 1 and g.vcpu.lapics[1].irr == 1 << 0xC0
    g.vcpu.lapics[1].write_register(0x80, 0x10)
    g.steps(0)
    assert g.active == 1


def test_pl05_if_of_the_parked_plane_is_ignored_until_it_runs():
    g = three("HIGHEST_RUNNABLE")
    g.at(1, NOP + "fb" + NOP + NOP)
    g.irq(1)
    g.steps(2)
    assert g.active == 1 and g.where(1) == 2 and g.count(0xC0) == 0
    g.steps(2)                                              # one in the shadow of STI, one of the handler
    assert g.count(0xC0) == 1


def test_pl06_a_return_with_an_interrupt_pending_bounces_back():
    g = three("HIGHEST_RUNNABLE")
    g.at(0, VMCALL + NOP, rax=CALL)
    g.at(1, VMCALL + NOP, rax=RETURN)
    g.steps(1)
    g.irq(1)
    g.steps(1)
    assert g.path() == [(0, 1, "call"), (1, 0, "return"), (0, 1, "interrupt")] and g.where(0) == 3


@pytest.mark.parametrize("strict, entered", ((0, True), (1, False)))
def test_pl07_a_shadow_of_a_parked_plane_blocks_injection_or_entry(strict, entered):
    g = three("HIGHEST_RUNNABLE")
    g.vcpus[1].state.set(layout.SHADOW, 1)
    g.vcpu.group.set(group_layout.STRICT_SHADOW, strict)
    g.irq(1)
    g.steps(0)
    assert (g.active == 1) == entered


def test_pl08_an_interrupt_for_a_lower_plane_waits():
    g = three("HIGHEST_RUNNABLE")
    g.at(0, VMCALL + NOP + NOP, rflags=IF | 2, rax=CALL)
    g.at(1, NOP + VMCALL, rax=RETURN)
    g.steps(1)
    g.irq(0)
    g.steps(1)
    assert g.active == 1
    g.steps(2)
    assert g.active == 0 and g.count(0xC0) == 1


@pytest.mark.parametrize("policy, back", (("HIGHEST_RUNNABLE", 0), ("HV_TLFS_LITERAL", 1)))
def test_pl09_a_return_over_a_skipped_level(policy, back):
    g = three(policy)
    g.at(2, VMCALL, rax=RETURN)
    g.irq(2)
    g.steps(0)
    g.take(2)
    g.steps(1)
    assert g.path() == [(0, 2, "interrupt"), (2, back, "return")]
    assert suspended(g) == (0 if back == 0 else 0b001)


@pytest.mark.parametrize("enabled, target", ((0b111, 1), (0b101, 2), (0b001, None)))
def test_pl10_a_call_cannot_skip_a_level(enabled, target):
    g = three("HIGHEST_RUNNABLE")
    g.vcpu.group.set(group_layout.ENABLED, enabled)
    g.at(0, VMCALL, rax=CALL)
    g.steps(1)
    assert g.active == (target or 0) and g.count(6) == (0 if target else 1)


def test_pl10_above_cpl_0_there_are_no_calls():
    g = three("HIGHEST_RUNNABLE")
    g.long_mode(g.plane, user=True)
    g.at(0, VMCALL, rax=CALL)
    g.steps(1)
    assert g.active == 0 and g.count(6) == 1


def test_pl11_a_halted_lower_plane_is_preempted_and_stays_halted():
    g = three("HIGHEST_RUNNABLE")
    g.at(0, HLT + NOP, rflags=IF | 2)
    g.at(1, VMCALL, rax=RETURN)
    g.steps(5)
    assert not g.vcpu.runs()
    g.irq(1)
    assert g.vcpu.runs()
    g.steps(0)
    g.take(1)
    g.steps(1)
    assert g.active == 0 and not g.vcpu.runs() and g.where(0) == 1
    g.irq(0)
    g.vcpu.waiting.poll(g.plane)
    assert g.vcpu.runs()


def test_pl11_userspace_is_told_while_the_plane_is_halted():
    g = Kvm("USER")
    g.at(0, HLT)
    g.run_area.req_exit_planes = 0b10
    with pytest.raises(KvmError):
        g.vcpus[0].run()
    g.irq(1)
    assert g.vcpus[0].run() == 40 and g.run_area.plane_event.target == 0b10 and g.vcpus[0].get_mp_state() == 3


def test_pl12_a_halted_higher_plane_keeps_the_cpu():
    g = three("HIGHEST_RUNNABLE")
    g.at(0, VMCALL, rflags=IF | 2, rax=CALL)
    g.at(1, HLT, rflags=IF | 2)
    g.steps(5)
    g.irq(0)
    g.vcpu.waiting.poll(g.plane)
    assert g.active == 1 and not g.vcpu.runs()


def test_pl13_a_halted_marked_plane_keeps_lower_ones_from_running():
    g = Kvm("LOWEST_RUNNABLE", planes=3)
    g.vcpus[2].set_run_state(True)
    g.at(0, HLT + VMCALL, rflags=IF | 2, rax=RUN, rbx=2)
    g.steps(5)
    assert g.active == 0 and not g.vcpu.runs()
    g.nmi()
    g.vcpu.waiting.poll(g.plane)
    g.steps(3)
    assert g.path() == [(0, 2, "run")] and g.reg("rax") == 0


@pytest.mark.parametrize("event", ("interrupt", "nmi"))
def test_pl14_an_event_of_the_marked_plane_comes_through_a_halt(event):
    g = three("LOWEST_RUNNABLE")
    g.at(0, NOP, rflags=IF | 2)
    g.at(2, HLT)
    g.steps(5)
    assert g.active == 2 and not g.vcpu.runs()
    if event == "nmi":
        g.vcpus[0].state.set(layout.NMI, 1)
    else:
        g.irq(0)
    assert g.vcpu.runs()
    g.steps(1)
    assert g.active == 0


def test_pl15_with_nothing_runnable_the_fallback_runs():
    g = three("LOWEST_RUNNABLE")
    g.vcpus[2].set_run_state(False)
    g.steps(1)
    assert g.active == 0 and g.vcpu.group.get(group_layout.RUNNABLE) == 1


def test_pl16_running_a_plane_that_does_not_exist_is_an_error_for_the_caller():
    g = Kvm("LOWEST_RUNNABLE", planes=2)
    g.at(0, VMCALL + NOP, rax=RUN, rbx=7)
    g.steps(2)
    assert g.active == 0 and g.reg("rax") == EINVAL and g.where(0) == 4


def test_pl33_a_plane_without_a_context_is_not_entered_by_force():
    g = three("HIGHEST_RUNNABLE")
    g.vcpu.group.set(group_layout.ENTERED, 0b101)
    g.at(0, HLT, rflags=IF | 2)
    g.steps(5)
    g.irq(1)
    assert g.active == 0 and not g.vcpu.runs() and g.vcpu.lapics[1].irr == 1 << 0xC0
    g.vcpu.group.set(group_layout.ENTERED, 0b111)
    g.steps(0)
    assert g.active == 1


def test_pl34_a_plane_that_was_parked_with_an_interrupt_comes_back():
    g = three("HIGHEST_RUNNABLE")
    g.at(1, NOP + "fb" + NOP + NOP)
    g.irq(1)
    g.steps(1)
    g.vcpus[0]._activate(0)
    g.steps(2)
    assert g.active == 1 and g.count(0xC0) == 0
    g.steps(1)
    assert g.count(0xC0) == 1


def test_pl39_an_event_of_the_marked_plane_aborts_its_entry_of_another():
    g = Kvm("TDX", planes=2)
    g.at(0, VMCALL + NOP, rax=RUN, rbx=1)
    g.irq(0)
    g.steps(2)
    assert g.active == 0 and g.reg("rax") == EAGAIN and g.where(1) == 0
    g.take(0)
    g.at(0, VMCALL + NOP, rax=RUN, rbx=1)
    g.steps(1)
    assert g.active == 1


@pytest.mark.parametrize("policy", (*PRESETS, "MPP(1)"))
def test_pl40_the_same_events_give_the_same_switches(policy):
    def once():
        g = Kvm(policy, planes=3)
        for n in range(3):
            g.at(n, NOP * 30, rflags=IF | 2)
            g.vcpus[n].set_run_state(True)
        for n, vector in ((1, 0x40), (2, 0x60), (0, 0x50), (1, 0x70)):
            g.steps(3)
            g.irq(n, vector)
        g.steps(3)
        return g.m.switches, [vcpu.get_regs() for vcpu in g.vcpus]
    assert once() == once()


def test_direction_and_marker_are_independent():
    """Every pair of them is a policy, and decides for itself."""
    for descending, marker in itertools.product((False, True), (None, 0, 2)):
        policy = PRESETS["LOWEST_RUNNABLE"]._replace(descending=descending, marker=marker)
        g = Kvm("LOWEST_RUNNABLE", planes=3)
        policy.apply(g.vcpu.group)
        g.vcpu.group.set(group_layout.RUNNABLE, 0b010)
        for n in range(3):
            g.vcpus[n].set_regs(rflags=IF | 2)
            g.irq(n)
        chosen = g.m.engine.select(g.vcpu.group.address)
        better = marker is not None and policy.rank(marker) < policy.rank(1)
        assert chosen == (marker if better else 1)


def test_a_wrong_name_of_a_policy_is_one_line():
    with pytest.raises(ValueError, match=r"FIFO.*USER.*MPP\(n\)"):
        parse("FIFO")
    with pytest.raises(ValueError, match="0 to 15"):
        mpp(16)
    for both in ("USER+descending+ascending", "USER+sideways"):
        with pytest.raises(ValueError, match=r"\+descending, \+ascending added"):
            parse(both)


@pytest.mark.parametrize("name", (*PRESETS, "MPP(1)"))
def test_the_direction_of_any_policy_can_be_turned_and_leaves_the_marker(name):
    as_it_is = parse(name)
    for extra, descending in (("descending", True), ("ascending", False)):
        turned = parse(f"{name}+{extra}")
        assert (turned.rank(0) > turned.rank(1)) == descending and turned.marker == as_it_is.marker
    assert parse(name + "+fpu").descending == as_it_is.descending
