"""Going back and forth: the same position is the same machine, whichever way one came."""
import random

import pytest

from emu.snapshot.registers import load_plane, save_plane
from emu.stop import BREAKPOINT
from tests.emu.debug.guests import machine, vsm

END_OF_GUEST = 460_000
# mov edi, 0x20000; read: mov dx, 0x3fd; in al, dx; test al, 1; jz read; mov dx, 0x3f8; in al, dx; stosb; jmp read
ECHO = bytes.fromhex("bf00000200" "66bafd03" "ec" "a801" "74f7" "66baf803" "ec" "aa" "ebef")


@pytest.fixture(scope="module")
def guest():
    with vsm() as m:
        m.debugger.history.fine, m.debugger.history.spacing = 20_000, 40_000
        m.run()
        yield m


def visits(m, count, seed):
    """Go to random positions from below and from above; gives those at which the two differ."""
    rng = random.Random(seed)
    places = [rng.randrange(END_OF_GUEST) for _ in range(count)]
    forwards = {}
    for at in sorted(set(places)):
        m.goto(at)
        forwards[at] = m.state_hash()
    rng.shuffle(places)
    different = []
    for at in places:
        m.goto(min(END_OF_GUEST, at + rng.randrange(1, 3000)))
        m.goto(at)
        assert m.icount == at
        if m.state_hash() != forwards[at]:
            different.append(at)
    return different


def test_goto_lands_on_the_same_state_from_both_sides(guest):
    assert visits(guest, 40, 1) == []


@pytest.mark.slow
def test_goto_lands_on_the_same_state_at_1000_positions(guest):
    assert visits(guest, 1000, 2) == []


def test_with_no_history_there_is_no_going_back():
    with vsm(history=False) as m:
        with pytest.raises(RuntimeError, match="history=True"):
            m.goto(0)


def test_reverse_continue_visits_the_same_stops_backwards(guest):
    guest.goto(0)
    with guest.break_plane_switch() as switches:
        there = [guest.run()[3:7] for _ in range(20)]
        back = [guest.reverse_continue(switches)[3:7] for _ in range(19)]
    assert back == there[-2::-1]


def test_reverse_to_the_last_write(guest):
    guest.goto(0)
    with guest.watch("vtl1_entries"):
        stops = [guest.run() for _ in range(3)]
        back = guest.reverse_continue()
        assert back.icount == stops[2].icount - 1
        assert guest.reverse_continue().icount == stops[1].icount - 1
    guest.goto(stops[2].icount + 500)
    assert guest.last(write="vtl1_entries") == stops[2].icount - 1
    assert guest.icount == stops[2].icount + 500
    with pytest.raises(LookupError):
        guest.last(write=0x7F_0000)


def test_reverse_step_is_the_inverse_of_step(guest):
    guest.goto(240_000)
    seen = []
    for _ in range(15):
        seen.append((guest.state_hash(), guest.current.rip))
        guest.step()
    for one in reversed(seen):
        guest.reverse_step()
        assert (guest.state_hash(), guest.current.rip) == one


def test_before_the_start_there_is_nothing(guest):
    guest.goto(0)
    assert guest.reverse_continue().reason == "goto" and guest.icount == 0
    assert guest.reverse_step().icount == 0


def test_output_is_passed_on_once():
    out = []
    with vsm(serial_out=out.append) as m:
        m.run(max_insns=150_000)
        text = b"".join(out)
        m.goto(10_000)
        m.goto(150_000)
        assert b"".join(out) == text and len(text) > 100
        m.run()
        assert b"".join(out).count(b"EnableVpVtl(1)") == 1


def test_a_change_by_hand_makes_another_future(guest):
    with vsm() as m:
        m.run(max_insns=50_000)
        m.goto(30_000)
        m.vcpu[0].regs.r15 = 0x1234
        m.step(3)
        m.goto(30_001)
        assert m.vcpu[0].regs.r15 == 0x1234
        m.goto(29_999)
        assert m.vcpu[0].regs.r15 != 0x1234
        m.goto(30_002)
        assert m.vcpu[0].regs.r15 == 0x1234


def test_memory_is_bounded_by_the_budget():
    with vsm(history_budget=4 << 20) as m:
        m.debugger.history.fine = m.debugger.history.spacing = 5_000
        m.run()
        history = m.debugger.history
        assert history.bytes <= 4 << 20 and history.kept[0].icount == 0
        assert len(history.kept) < m.icount // 5_000
        m.goto(123_456)
        there = m.state_hash()
        m.goto(200_000)
        m.goto(123_456)
        assert m.state_hash() == there


def test_serial_input_is_recorded_and_repeated(tmp_path):
    with machine(ECHO, tmp_path / "echo.bin") as m:
        m.run(max_insns=1000)
        m.feed_serial(b"one")
        m.run(max_insns=777)
        m.feed_serial(b"two")
        m.run(max_insns=1000)
        end, there = m.icount, m.state_hash()
        assert m.physical[0x20000:0x20006] == b"onetwo"
        m.goto(500)
        assert m.physical[0x20000:0x20006] == bytes(6)
        m.goto(end)
        assert m.state_hash() == there and m.physical[0x20000:0x20006] == b"onetwo"


def test_several_vcpus_keep_their_turns(tmp_path):
    code = bytes.fromhex("48ffc0ebfb")
    with machine(code, tmp_path / "two.bin", vcpus=2) as m:
        first, second = (vcpu.planes for vcpu in m.vcpus)
        load_plane(second[0], second, save_plane(first[0], first))
        second[0].flush()
        m.note_change()
        m.run(max_insns=33_333)
        there = m.state_hash()
        m.goto(5)
        for at in (7, 9_999, 10_001, 20_000, 33_333):
            m.goto(at)
        assert m.state_hash() == there and m.vcpu[0].icount + m.vcpu[1].icount == 33_333


def test_steps_are_the_instructions_in_order(guest):
    guest.goto(230_000)
    found = list(guest.steps(50))
    assert guest.icount == 230_050
    for step in found[::7]:
        guest.goto(step.icount)
        assert (guest.current.rip, guest.current.number) == (step.rip, step.plane)
        assert step.regs["rsp"] == guest.current.regs.rsp and step.regs["rflags"] == guest.current.regs.rflags
    for step in guest.steps():
        if step.icount == found[0].icount + 60:
            break
    assert guest.icount == step.icount


def test_a_breakpoint_where_one_stands_does_not_fire_again(guest):
    guest.goto(0)
    with guest.breakpoint("main"):
        assert guest.run().reason == BREAKPOINT
        assert guest.step().icount == guest.icount
        assert guest.run().reason != BREAKPOINT
