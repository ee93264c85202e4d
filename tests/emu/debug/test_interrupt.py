"""Ending what takes long from another thread: a guest that idles, a search of the past."""
import threading
import time

from emu.stop import INTERRUPTED
from tests.emu.debug.guests import machine

IDLE = b"\xfb\xf4\xeb\xfd"              # sti; again: hlt; jmp again
COUNT = b"\xff\xc0\xeb\xfc"             # again: inc eax; jmp again
SOON = 5.0                              # seconds


def test_a_guest_that_waits_for_input_is_interrupted(tmp_path):
    with machine(IDLE, tmp_path / "code") as m:
        m.feed_serial(b"", more=True)
        stops = []
        thread = threading.Thread(target=lambda: stops.append(m.run()))
        thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        m.interrupt()
        thread.join(SOON)
        assert not thread.is_alive() and stops[0].reason == INTERRUPTED and m.current.halted
        here = m.icount
        m.goto(1)
        m.goto(here)                    # without waiting for input that may never come
        assert m.icount == here and m.current.halted and time.monotonic() - started < SOON


def test_a_search_of_the_past_is_interrupted_and_changes_nothing(tmp_path, monkeypatch):
    with machine(COUNT, tmp_path / "code") as m:
        m.run(max_insns=3_000_000)
        before, history = m.state_hash(), m.debugger.history
        restore = history.restore

        def interrupting(snapshot):
            restore(snapshot)
            m.interrupt()
        with m.breakpoint(0x5000) as never:
            monkeypatch.setattr(history, "restore", interrupting)
            stop = m.reverse_continue(never)
        monkeypatch.undo()
        assert stop.reason == INTERRUPTED and m.icount == 3_000_000 and m.state_hash() == before
