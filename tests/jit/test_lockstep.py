"""Random programs in two engines must agree in everything at every stop (tools/lockstep)."""
import itertools
import time

import pytest

from emu import regions
from tools.lockstep import __main__ as command
from tools.lockstep import counting
from tools.lockstep.compare import agree_at_end, lockstep
from tools.lockstep.forms import forms
from tools.lockstep.generate import generate
from tools.lockstep.shrink import shrink
from tools.lockstep.world import World

EACH = 100_000          # instructions of one program


@pytest.fixture(scope="module")
def interpreter():
    return World("interp")


@pytest.fixture(scope="module")
def blocks():
    world = World("blocks")
    counting.count(world.bare.engine)
    return world


def compare(a, b, count, seed, bits=None, each=EACH):
    """Run programs from a seed on; gives the instructions run."""
    total = 0
    while total < count:
        program = generate(seed, bits)
        result = lockstep(program, a, b, each)
        assert not result.difference, f"python -m tools.lockstep --seed {seed} --count 1: {result.difference}"
        total, seed = total + result.instructions, seed + 1
    return total


def test_blocks_agree_with_the_interpreter(interpreter, blocks, request):
    """One million instructions; more with --lockstep-count, from another seed with --lockstep-seed."""
    before = counting.ran()
    total = compare(interpreter, blocks, request.config.getoption("--lockstep-count"),
                    request.config.getoption("--lockstep-seed"))
    assert blocks.bare.engine.regions.compiled > total / 100_000
    assert counting.ran() - before > total / 2              # the comparison was of compiled code


def test_blocks_agree_at_every_block_end(interpreter, blocks):
    """A million instructions, a block at a time: registers, flags and counts at each end, all at every 64th."""
    total = seed = 0
    while total < 1_000_000:
        result = lockstep(generate(seed), interpreter, blocks, EACH, at_block_ends=True)
        assert not result.difference, f"program {seed}: {result.difference}"
        total, seed = total + result.instructions, seed + 1


def test_auto_is_deterministic(interpreter, monkeypatch):
    """When a background compile is ready must make no difference to the guest."""
    monkeypatch.setitem(regions.SAMPLING, "auto", (256, 2))

    class Patient(World):
        """Lets some slices pass while a region is compiled, then waits for it: it comes into a running program."""

        slices = 0

        def go(self, budget):
            compiling = self.bare.engine.regions
            self.slices += compiling.busy
            if compiling.busy and self.slices % 5 == 0:
                until = time.monotonic() + 60
                while compiling._done.empty() and time.monotonic() < until:
                    time.sleep(0.01)
            return super().go(budget)
    auto = Patient("auto")
    try:
        for seed in calm(interpreter, 5):
            found = agree_at_end(generate(seed), interpreter, auto, 50 * EACH)
            assert not found, f"seed {seed}: {found}"
        assert auto.bare.engine.regions.compiled >= 4
    finally:
        auto.bare.engine.regions.close()


def calm(world, count):
    """Seeds of programs that do not fault, so that time passes in compiled code."""
    found = []
    for seed in itertools.count(500):
        program = generate(seed)
        world.start(program)
        if not program.changes_itself and world.go(20_000) == "EVENT":
            found.append(seed)
            if len(found) == count:
                return found


def test_a_seed_gives_the_same_program():
    assert generate(7).encode() == generate(7).encode()
    assert generate(7).encode() != generate(8).encode()


def test_programs_use_every_kind_of_instruction():
    """Each form that has a lowering and plain operands is drawn from."""
    for bits in (32, 64):
        assert len(forms(bits)) > 80
        assert sum(map(len, forms(bits))) > 400


def test_a_wrong_engine_is_found_and_the_program_shrunk(interpreter):
    """The second world changes RCX behind the engine's back where no instruction stopped a slice."""
    class Wrong(World):
        def go(self, budget):
            status = super().go(budget)
            if status == "EVENT":
                self.bare.gpr(1, self.bare.gpr(1) ^ 4)
            return status
    wrong = Wrong("interp")
    program = generate(3)

    def fails(candidate):
        return lockstep(candidate, interpreter, wrong, 2000).difference is not None
    result = lockstep(program, interpreter, wrong, 2000)
    assert result.difference and "rcx" in result.difference.fields
    short = shrink(program, fails)
    assert fails(short) and len(short.items) < len(program.items) / 4
    shown = command.report(short, result.difference, None, ("interp", "blocks"))
    assert shown.startswith("seed 3: after ") and "--seed 3" in shown


def test_the_command_line(capsys):
    assert command.main(["--count", "2000", "--each", "1000", "--seed", "40", "--engine-b", "interp"]) == 0
    assert "agree" in capsys.readouterr().out


@pytest.mark.slow
def test_ten_million_instructions(interpreter, blocks):
    compare(interpreter, blocks, 10_000_000, 10_000, each=4 * EACH)
