"""Going back and forth in the boot of Debian's cloud kernel."""

import random
import time
from pathlib import Path

import pytest

from emu import Machine
from tests.guests.test_software import fetched
from tools.bench.boot import SHORT
from tools.initramfs.build import READY, initramfs

pytestmark = [pytest.mark.guests, pytest.mark.slow]
POSITIONS, STEPS = 50, 10
SECOND = 1.0                    # host seconds within which a reverse-step ends
AROUND = 3_000_000              # how far from a position one comes to it the second time


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """A machine with the whole boot behind it, and how many instructions that took."""
    console = bytearray()
    initrd = tmp_path_factory.mktemp("linux") / "initramfs.cpio"
    initrd.write_bytes(initramfs(Path(fetched("busybox")).read_bytes(), ()))
    with Machine(memory="128M", serial_out=console.extend) as m:
        m.load(fetched("linux-cloud"), initrd=str(initrd), append=SHORT)
        while READY.encode() not in console:
            assert m.run(max_insns=20_000_000).icount < 1_000_000_000, console[-2000:].decode("utf-8", "replace")
        yield m, m.icount


def test_goto_lands_on_the_same_state_from_both_sides(booted):
    (m, end), rng = booted, random.Random(7)
    places = sorted(rng.randrange(end) for _ in range(POSITIONS))
    below, above = {}, {}
    for at in places:
        m.goto(max(0, at - rng.randrange(AROUND)))
        m.goto(at)
        below[at] = m.state_hash()
    for at in reversed(places):
        m.goto(min(end, at + rng.randrange(1, AROUND)))
        m.goto(at)
        assert m.icount == at
        above[at] = m.state_hash()
    assert [at for at in places if below[at] != above[at]] == []


def test_a_reverse_step_takes_less_than_a_second(booted):
    """But for the first near a place, which takes the snapshots that the others then need."""
    (m, end), rng = booted, random.Random(8)
    for _ in range(3):
        m.goto(rng.randrange(AROUND, end))
        at = m.icount
        m.reverse_step()
        started = time.perf_counter()
        for _ in range(STEPS):
            m.reverse_step()
        taken = (time.perf_counter() - started) / STEPS
        print(f"at {at:,}: {taken:.3f} s a reverse-step")
        assert m.icount == at - 1 - STEPS and taken < SECOND
