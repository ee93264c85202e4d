"""Ways through a run, on the VSM guest: each move lands where its definition says, and its opposite brings one back."""
import pytest

from tests.emu.debug.guests import AT, END, machine
from tests.tools.debug.conftest import ENTRY
from tools.debug import moves

# call f; nop; f: push rbx; call g; pop rbx; ret; g: nop; ret
CALLS = (b"\xbc\x00\x00\x02\x00"            # mov esp, 0x20000
         b"\xe8\x03\x00\x00\x00"            # call f
         + END[:2] + b"\x90"                # mov al, 0; nop
         + b"\x53\xe8\x02\x00\x00\x00\x5b\xc3"
         + b"\x90\xc3")
CALL, AFTER, F, INNER, BACK, G = AT + 5, AT + 10, AT + 13, AT + 14, AT + 19, AT + 21


@pytest.fixture
def calls(tmp_path):
    with machine(CALLS, tmp_path / "code") as m:
        m.step()
        yield m


def test_next_goes_over_a_call_and_back(calls):
    assert calls.current.rip == CALL
    moves.step_over(calls)
    assert calls.current.rip == AFTER
    moves.reverse_over(calls)
    assert calls.current.rip == CALL and not calls.breakpoints


def test_next_is_a_step_where_there_is_no_call(calls):
    here = calls.icount
    calls.step()
    moves.step_over(calls)
    assert calls.current.rip == INNER and calls.icount == here + 2
    moves.reverse_over(calls)
    assert calls.current.rip == F


def test_finish_goes_to_after_the_return_of_this_function_not_of_those_it_calls(calls):
    calls.step()
    moves.finish(calls)
    assert calls.current.rip == AFTER
    calls.goto(4)
    assert calls.current.rip == G
    moves.finish(calls)
    assert calls.current.rip == BACK


def test_reverse_finish_goes_to_before_the_call(calls):
    calls.goto(4)
    assert calls.current.rip == G
    moves.reverse_finish(calls)
    assert calls.current.rip == INNER
    moves.reverse_finish(calls)
    assert calls.current.rip == CALL


def test_run_to_an_address(calls):
    moves.run_to(calls, G)
    assert calls.current.rip == G and not calls.breakpoints


def test_switches_one_after_the_other_and_back(guest):
    guest.goto(ENTRY - 1000)
    seen = []
    for _ in range(4):
        stop = moves.next_switch(guest)
        seen.append((guest.icount, guest.current.number))
        assert stop.events[0].target == guest.current.number
    assert seen[0] == (ENTRY, 1) and [plane for _, plane in seen] == [1, 0, 1, 0]
    for expected in seen[-2::-1]:
        moves.previous_switch(guest)
        assert (guest.icount, guest.current.number) == expected


def test_next_over_a_vtl_call_runs_the_other_plane(guest):
    guest.goto(ENTRY - 1)
    assert str(moves.decode(guest, guest.current)) == "vmmcall"
    moves.step_over(guest)
    assert guest.current.number == 0 and guest.icount > ENTRY
    assert guest.vcpu[0].last_switch.source == 1
