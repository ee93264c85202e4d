"""Registers watched for changes while hot loops run around the instructions that change them."""
import pytest

from emu.stop import BREAKPOINT
from tests.emu.debug.guests import AT, END, machine

ROUNDS, INNER = 6, 30_000
# mov ebx, ROUNDS; outer: mov ecx, INNER; inner: inc rax; dec ecx; jnz inner; mov cr2, rax; dec ebx; jnz outer
CODE = (b"\xbb" + ROUNDS.to_bytes(4, "little") + b"\xb9" + INNER.to_bytes(4, "little")
        + bytes.fromhex("48ffc0" "ffc9" "75f9" "0f22d0" "ffcb" "75ed") + END)
AFTER = AT + 5 + 5 + 7 + 3
LOOP = 3 * INNER + 4                    # instructions of a round


@pytest.mark.parametrize("engine", ("interp", "blocks", "auto"))
def test_each_change_is_seen_at_the_instruction_after_it(tmp_path, engine):
    with machine(CODE, tmp_path / "code.bin", engine=engine) as m, m.watch_register("cr2") as found:
        for n in range(1, ROUNDS + 1):
            stop = m.run()
            assert (stop.reason, stop.rip) == (BREAKPOINT, AFTER)
            assert stop.icount == 1 + (n - 1) * LOOP + 3 * INNER + 2
            assert stop.events[0].value == n * INNER and found.hits == n
        assert m.run().reason == "exit"


@pytest.mark.parametrize("engine", ("blocks", "auto"))
def test_another_planes_register_is_none_of_its_business(tmp_path, engine):
    with machine(CODE, tmp_path / "code.bin", engine=engine) as m, m.watch_register("cr2", plane=3) as found:
        assert m.run().reason == "exit" and found.hits == 0


@pytest.mark.parametrize("engine", ("interp", "blocks", "auto"))
def test_changes_that_are_ignored_are_counted_once_each(tmp_path, engine):
    with machine(CODE, tmp_path / "code.bin", engine=engine) as m, m.watch_register("cr2", ignore=2) as found:
        stop = m.run()
        assert (stop.reason, stop.rip, found.hits) == (BREAKPOINT, AFTER, 3)
        assert stop.events[0].value == 3 * INNER
