"""Breakpoints and watchpoints of every kind, their filters, and what they cost the guest: nothing."""
import pytest

from emu import Stop
from emu.debug.condition import Condition, ConditionError
from emu.stop import BREAKPOINT, EXIT
from tests.emu.debug.guests import AT, END, machine, vsm

# mov ecx, 1000; loop: inc rax; mov [0x20000], rax; mov rbx, [0x20000]; dec ecx; jnz loop; then the end
LOOP = bytes.fromhex("b9e8030000" "48ffc0" "4889042500000200" "488b1c2500000200" "ffc9" "75e9") + END
INC, STORE, LOAD, DEC = AT + 5, AT + 8, AT + 16, AT + 24
WORD = 0x20000


@pytest.fixture(params=["interp", "blocks"])
def m(request, tmp_path):
    with machine(LOOP, tmp_path / "loop.bin", engine=request.param) as found:
        yield found


def test_linear_virtual_and_physical_breakpoints_stop_before_the_instruction(m):
    for where in ({"where": INC}, {"virtual": INC}, {"physical": INC}):
        m.goto(0)
        with m.breakpoint(**where) as found:
            for n in range(3):
                stop = m.run()
                assert (stop.reason, stop.rip, stop.icount) == (BREAKPOINT, INC, 1 + 5 * n)
                assert m.vcpu[0].regs.rax == n and stop.events[0].breakpoint is found
            assert found.hits == 3
    assert m.run().reason == EXIT


def test_guest_memory_is_not_patched(m):
    with m.breakpoint(INC):
        m.run()
        assert m.physical[AT:AT + len(LOOP)] == LOOP


def test_conditions_and_ignored_hits(m):
    with m.breakpoint(INC, condition="rax == 500") as found:
        assert m.run().icount == 1 + 5 * 500 and found.hits == 1
    m.goto(0)
    with m.breakpoint(INC, condition="rax >= 10 and rbx % 7 == 3") as found:
        assert m.run().icount == 1 + 5 * 10
        assert m.run().icount == 1 + 5 * 17
    m.goto(0)
    with m.breakpoint(INC, ignore=100) as found:
        assert m.run().icount == 1 + 5 * 100 and found.hits == 101
    m.goto(0)
    with m.breakpoint(INC, condition=lambda event: m.vcpu[0].regs.rax == 7, ignore=0):
        assert m.run().icount == 1 + 5 * 7


@pytest.mark.parametrize("text, fires", [("rax < 3", [0, 1, 2]), ("rax <= 2", [0, 1, 2]), ("rax > 997", [998, 999]),
                                         ("998 <= rax", [998, 999]), ("rax != 5 and rax < 7", [0, 1, 2, 3, 4, 6])])
def test_every_relation(m, text, fires):
    with m.breakpoint(INC, condition=text):
        seen = []
        while m.run().reason == BREAKPOINT:
            seen.append(m.vcpu[0].regs.rax)
    assert seen == fires


def test_watchpoints_stop_after_the_access_with_old_and_new_value(m):
    with m.watch(WORD, 8, "w"):
        for n in range(3):
            stop = m.run()
            event, = stop.events
            assert (stop.rip, event.value, event.old, event.linear) == (LOAD, n + 1, n, WORD)
    with m.watch(physical=WORD + 4, size=1, access="r"):
        stop = m.run()
        assert stop.rip == DEC and stop.events[0].kind == "read"
    m.goto(0)
    with m.watch(WORD, condition="value == 700"):
        assert m.run().events[0].value == 700
    m.goto(0)
    with m.watch(WORD + 8, 64, "rw") as beside:
        assert m.run().reason == EXIT and beside.hits == 0


def test_a_changed_register_is_reported(m):
    with m.watch_register("rbx"):
        stop = m.run()
        assert (stop.rip, stop.events[0].old, stop.events[0].value) == (DEC, 0, 1)
        assert m.run().events[0].value == 2


def test_other_planes_and_vcpus_do_not_fire(m):
    with m.breakpoint(INC, plane=1), m.watch(WORD, plane=1):
        assert m.run().reason == EXIT
    with pytest.raises(ValueError, match="vcpu 3: there are 1"):
        m.breakpoint(INC, vcpu=3)


def test_ports_and_instructions(m):
    with m.break_port(0xF4, "w"):
        assert m.run().events[0].index == 0xF4
    m.goto(0)
    with m.break_port(0xF5), m.break_port(0xF4, "r"):
        assert m.run().reason == EXIT
    m.goto(0)
    with m.break_instruction("dec", condition="ecx == 1"):
        assert (m.run().rip, m.vcpu[0].regs.rax) == (DEC, 1000)


def test_disabled_and_removed_breakpoints_do_nothing(m):
    found = m.breakpoint(INC)
    found.enabled = False
    m.run(max_insns=100)
    assert found.hits == 0
    found.enabled = True
    assert m.run().reason == BREAKPOINT
    found.remove()
    found.remove()
    assert m.breakpoints == [] and m.run().reason == EXIT


def test_hooks_go_on_and_their_exceptions_are_raised(m):
    seen = []
    hook = m.on.execute(INC, lambda event: seen.append(event.icount), condition="rax < 3")
    assert m.run().reason == EXIT and seen == [1, 6, 11]
    hook.remove()
    m.goto(0)

    @m.on.write(WORD)
    def fails(event):
        raise ZeroDivisionError("in a callback")
    with pytest.raises(ZeroDivisionError):
        m.run()
    assert m.vcpu[0].rip == LOAD
    fails.remove()
    m.goto(0)
    m.on.execute(INC, lambda event: event.icount > 20)
    assert m.run().icount == 21


def test_temporary_breakpoints_go(m):
    m.breakpoint(INC, temporary=True)
    assert m.run().reason == BREAKPOINT and m.run().reason == EXIT


def test_planes_qualify_and_symbols_name(tmp_path):
    with vsm() as m:
        with m.breakpoint("vtl1_serve", plane=1) as found, m.breakpoint("vtl1_serve", plane=0) as other:
            stop = m.run()
            assert (stop.plane, found.hits, other.hits) == (1, 1, 0)
        with m.break_plane_switch(plane=0):
            event = m.run().events[0]
            assert (event.source, event.target, event.cause) in ((1, 0, "return"), (1, 0, "fast return"))
        with m.break_hypercall(0x11):
            assert m.run().events[0].index == 0x11
        m.goto(0)
        with m.break_msr(0x40000000, "w"):
            stop = m.run()
            assert stop.events[0].value == m.vcpu[0].regs.rdx << 32 | m.vcpu[0].regs.rax
        with pytest.raises(ValueError, match="no symbol 'nowhere'"):
            m.breakpoint("nowhere")


def test_interrupt_vectors():
    from emu import Machine
    from tests.emu.debug.guests import VSM
    with Machine(memory=8 << 20) as m:
        m.load(VSM.with_name("timer.elf"))
        with m.break_interrupt(range(0x20, 0x100)):
            stop = m.run()
        assert stop.reason == BREAKPOINT and stop.events[0].kind == "interrupt"
        where = stop.icount, stop.rip
        m.goto(0)
        m.goto(where[0])
        assert (m.icount, m.vcpu[0].rip) == where


@pytest.mark.parametrize("text", ["", "rax ==", "import os", "__import__('os')", "rax.x", "(lambda: 1)()", "rax[0]",
                                  "open('x')", "1 << rax", "'a' == 'b'", "nothing == 3", "rax ** 9 ** 9 ** 9"])
def test_conditions_that_cannot_be_are_refused(text):
    with pytest.raises(ConditionError, match="^condition"):
        Condition(text)


def test_a_stop_names_its_reason():
    assert Stop("breakpoint", 124, "", 0, 0, 0, 0).reason == BREAKPOINT
