"""An interrupt that arrives at any point of KVM_RUN: exhaustively, at every line of Python that a run executes and at
every instruction of the guest. Compiled code does not see interrupts arrive between two of its instructions."""
import sys

import pytest

from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.run import USERSPACE_EXIT_HLT
from tests.emu.planes.kvm.guest import HLT, NOP, Kvm

WHERE = ("emu/planes/kvm/", "emu/vcpu.py", "emu/waiting.py", "emu/group.py", "emu/clock.py")
IF = 1 << 9


def run_with(g, deliver, at):
    """KVM_RUN, with `deliver` called before its line number `at`: (exit reason or None, whether that line came)."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not any(part in frame.f_code.co_filename for part in WHERE):
            return None
        if event == "line":
            seen += 1
            if seen == at + 1:
                sys.settrace(None)
                deliver()
                sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        reason = g.vcpus[0].run()
    except KvmError:
        reason = None
    finally:
        sys.settrace(None)
    return reason, seen > at


def guest():
    g = Kvm("USER")
    g.at(0, NOP * 3 + HLT, rflags=2)
    g.run_area.req_exit_planes = 0b10
    return g


def test_pl20_no_event_of_another_plane_is_lost():
    """It ends this run, or the next one before that executes anything."""
    immediate = later = 0
    for at in range(2_000):
        g = guest()
        reason, arrived = run_with(g, lambda g=g: g.irq(1), at)
        if not arrived:
            break
        if reason == 40:
            immediate += 1
        else:
            later += 1
            done = g.m.icount
            assert g.vcpus[0].run() == 40 and g.m.icount == done, at
        assert g.run_area.plane_event.target == 0b10
    assert immediate > 20 and later > 3


@pytest.mark.parametrize("events", (1, 2))
def test_pl20_events_at_every_instruction(events):
    """Instruction by instruction: the run leaves before the next one, and once only while userspace has not asked
    again."""
    for at in range(4):
        g = guest()
        g.steps(at)
        for n in range(events):
            g.irq(1, 0xC0 + n)
        done = g.m.icount
        assert g.vcpus[0].run() == 40 and g.m.icount == done == at
        g.run_area.req_exit_planes = 0
        with pytest.raises(KvmError):
            g.vcpus[0].run()
        assert g.where(0) == 4


def test_hw40_whoever_waits_is_told_of_an_event_at_any_point():
    """A vCPU falls asleep while its interrupt arrives: it has run the handler, or the descriptor is signalled."""
    handled = signalled = 0
    for at in range(2_000):
        g = guest()
        g.at(0, NOP + HLT, rflags=IF | 2)
        g.vcpus[0].runnable.read()
        _, arrived = run_with(g, lambda g=g: g.irq(0), at)
        if not arrived:
            break
        if g.count(0xC0):
            handled += 1
        else:
            signalled += 1
            assert g.vcpus[0].runnable.read(), at
    assert handled > 20 and signalled


def test_hw43_a_kick_that_comes_too_late_is_not_seen_by_the_guest():
    """It finds the vCPU awake again: the run ends with EINTR, and goes on with the same result."""
    g = guest()
    g.at(0, HLT + NOP * 3 + HLT, rflags=IF | 2)
    g.run_area.userspace_exits = USERSPACE_EXIT_HLT
    g.vcpus[0].run()
    assert g.run_area.idle == 1
    g.irq(0)
    g.vcpus[0].kick()
    with pytest.raises(KvmError) as failure:
        g.vcpus[0].run()
    assert failure.value.errno == 4 and g.run_area.idle == 0
    g.vcpus[0].run()
    assert g.count(0xC0) == 1 and g.where(0) == 5
