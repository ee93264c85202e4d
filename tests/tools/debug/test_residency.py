"""Which plane ran when, also after going back."""
from tests.tools.debug.conftest import ENTRY


def test_shares_are_of_the_time_that_each_plane_ran(front):
    session = front.session
    session.move(lambda m: m.goto(240_000))
    switches = session.residency.switches(0)
    assert switches[0] == ENTRY and switches == [s["icount"] for s in session.machine.switches]
    first, second = switches[:2]
    shares = session.residency.shares(0, 0, first, 3)
    assert shares == [{0: 1.0}] * 3
    assert session.residency.shares(0, first, second, 2) == [{1: 1.0}] * 2
    half, = session.residency.shares(0, first - (second - first), second, 1)
    assert abs(half[0] - 0.5) < 1e-6 and abs(half[1] - 0.5) < 1e-6
    unknown = session.residency.shares(0, session.residency.end, session.residency.end + 100, 2)
    assert unknown == [{}, {}]


def test_what_is_known_of_later_stays_when_going_back_until_it_is_changed(front):
    session = front.session
    session.move(lambda m: m.goto(240_000))
    known = session.residency.switches(0)
    session.move(lambda m: m.goto(1000))
    assert session.residency.switches(0) == known and session.residency.end >= 240_000
    session.machine.current.regs.rbx = 5
    session.move(lambda m: m.step())
    assert session.residency.switches(0) == [] and session.residency.end == 1001
