"""A run stops after exactly the instructions it was given, wherever that is, in every engine mode."""
import pytest

from jit import exits, layout
from tests.jit.bare import CODE, MODES, fresh, put

NOPS = "90" * 12 + "f4"
COUNTDOWN = "48ffc0 48ffc1 48ffcf 75f5 48ffc2 f4"             # L: inc rax; inc rcx; dec rdi; jnz L; inc rdx; hlt
NESTED = "bb03000000 b904000000 48ffc0 ffc9 75f9 ffcb 75f0 f4"    # 3 times { 4 times inc rax }
CALLS = "e803000000 ebf9 f4 48ffc0 c3"                            # L: call f; jmp L; hlt; f: inc rax; ret
PUSHES = "50 58 50 58 ebfa"                                       # L: push rax; pop rax; push rax; pop rax; jmp L
PROGRAMS = {"nops": NOPS, "countdown": COUNTDOWN, "nested": NESTED, "calls": CALLS, "pushes": PUSHES}
N = 70


def start(mode, code):
    bare = fresh(mode)
    bare.gpr(7, 9)
    put(bare, code.replace(" ", ""))
    return bare


def state(bare):
    return [bare.gpr(n) for n in range(8)] + [bare.plane.get(layout.RIP)]


def trace(code):
    """State after each instruction, one at a time in the interpreter, until HLT."""
    bare = start("interp", code)
    states = [state(bare)]
    while len(states) <= N and bare.run(1) == exits.EVENT:
        assert bare.left() == 0
        states.append(state(bare))
    return states


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_stops_after_each_count(name, mode):
    states = trace(PROGRAMS[name])
    for count in range(len(states)):
        bare = start(mode, PROGRAMS[name])
        assert bare.run(count) == exits.EVENT
        assert bare.left() == 0
        assert state(bare) == states[count], count


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("step", (1, 2, 3, 7))
def test_goes_on_in_equal_slices(name, mode, step):
    """Slices that end inside compiled code and begin there."""
    states = trace(PROGRAMS[name])
    bare = start(mode, PROGRAMS[name])
    for count in range(step, len(states), step):
        assert bare.run(step) == exits.EVENT
        assert state(bare) == states[count], count


@pytest.mark.parametrize("mode", MODES)
def test_after_much_compiled_code(mode):
    """A million instructions and then one at a time, so that stops fall into a region."""
    bare = start(mode, COUNTDOWN)
    bare.gpr(7, 1 << 40)
    assert bare.run(1_000_000) == exits.EVENT
    assert bare.left() == 0
    assert (bare.gpr(0), bare.gpr(1), bare.gpr(7)) == (250_000, 250_000, (1 << 40) - 250_000)
    for n in range(1, 9):
        assert bare.run(1) == exits.EVENT
        assert bare.gpr(0) + bare.gpr(1) + (1 << 40) - bare.gpr(7) == 750_000 + n - n // 4


@pytest.mark.parametrize("mode", MODES)
def test_an_instruction_that_does_not_complete_is_not_counted(mode):
    bare = start(mode, "90 90 f4")
    assert bare.run(10) == exits.HALT
    assert bare.left() == 8
    assert bare.plane.get(layout.RIP) == CODE + 2
    bare = start(mode, "90 0f0b")
    assert bare.run(10) == exits.RUNTIME                        # #UD waits for delivery, which is not provided here
    assert bare.left() == 9
    assert bare.plane.get(layout.FAULT_VECTOR) == 6


@pytest.mark.parametrize("mode", MODES)
def test_no_budget_runs_nothing(mode):
    bare = start(mode, NOPS)
    for budget in (0, -1, -1000):
        assert bare.run(budget) == exits.EVENT
        assert bare.left() == budget
    assert bare.plane.get(layout.RIP) == CODE


@pytest.mark.parametrize("mode", MODES)
def test_each_iteration_of_a_repeated_instruction_counts(mode):
    for count in range(1, 11):
        bare = start(mode, "f3aa 90 f4")                        # rep stosb; nop; hlt
        bare.gpr(1, 8)
        bare.gpr(7, 0x8000)
        assert bare.run(count) == (exits.EVENT if count < 10 else exits.HALT)
        assert bare.gpr(7) == 0x8000 + min(count, 8)
