"""Measures a runner on a loop: start-up subtracted, results checked."""
from dataclasses import dataclass

from tools.bench.loop import Loop
from tools.bench.peers import PeerError, Runner

CHECKED_ITERATIONS = 1_000      # short enough for the Python model
FIRST_INSTRUCTIONS = 5e6
LARGEST_STEP = 40               # how much longer one attempt may be than the last
REPEATS = 3


@dataclass(frozen=True)
class Speed:
    """One measurement: the best of REPEATS runs of `instructions` instructions, `seconds` each without start-up."""

    instructions: int
    seconds: float

    @property
    def mips(self) -> float:
        """Millions of instructions a second."""
        return self.instructions / self.seconds / 1e6


def speed(runner: Runner, loop: Loop, target: float, reference: Runner | None = None) -> Speed:
    """How fast `runner` runs `loop`, in runs of about `target` seconds.

    Start-up is what one iteration takes, the best of REPEATS. Each result is compared with the Python model's for a
    short run, and with `reference`'s (the host CPU's, say) for the timed length. Raises PeerError.
    """
    _check(runner, loop, CHECKED_ITERATIONS, runner.run(loop, CHECKED_ITERATIONS)[0], loop.model(CHECKED_ITERATIONS))
    startup = min(runner.run(loop, 1)[1] for _ in range(REPEATS))
    iterations, seconds = _calibrate(runner, loop, target, startup)
    expected = reference.run(loop, iterations)[0] if reference else None
    for _ in range(REPEATS):
        result, elapsed = runner.run(loop, iterations)
        if expected is not None:
            _check(runner, loop, iterations, result, expected)
        seconds = min(seconds, elapsed - startup)
    if seconds <= 0:
        raise PeerError(f"{runner.name}: {loop.name} takes no longer than its start-up of {startup:.3f} s")
    return Speed(loop.instructions(iterations) - loop.instructions(1), seconds)


def _calibrate(runner: Runner, loop: Loop, target: float, startup: float) -> tuple[int, float]:
    """The number of iterations that takes at least half of `target` seconds, and what it took."""
    instructions = FIRST_INSTRUCTIONS
    while True:
        iterations = loop.iterations(instructions)
        seconds = runner.run(loop, iterations)[1] - startup
        if seconds >= target / 2:
            return iterations, seconds
        instructions *= min(LARGEST_STEP, target / max(seconds, target / LARGEST_STEP))


def _check(runner: Runner, loop: Loop, iterations: int, result: int, expected: int) -> None:
    if result != expected:
        raise PeerError(f"{runner.name}: {loop.name} gave {result:#x} after {iterations:,} iterations, "
                        f"not {expected:#x}")
