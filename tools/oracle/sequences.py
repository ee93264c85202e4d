"""Random programs on the host and in both engines: loops, calls, jumps, faults, code that changes itself, flags and
registers of every kind handed from block to block. All stop after the same number of instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from iced_x86 import Instruction, Mnemonic, OpCodeInfo

from emu.isa.coverage import Status, classify
from tools.lockstep.forms import INTEGER, VECTOR, Maker, forms
from tools.lockstep.generate import BASES, Generator
from tools.lockstep.program import Program
from tools.lockstep.shrink import shrink
from tools.oracle.arena import DATA, PROGRAM, READ_ONLY, STACK
from tools.oracle.case import OPMASKS, ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.compare import Comparison
from tools.oracle.encode import decode
from tools.oracle.forms import lacking, not_compared
from tools.oracle.generate import FLAGS
from tools.oracle.guest import Guest, UnexpectedExit, UnimplementedCase
from tools.oracle.host import Host, cpu_flags
from tools.oracle.processes import spread
from tools.oracle.undefined_flags import NOT_THE_HOSTS
from tools.oracle.vector_values import opmask, register
from tools.oracle.x87_states import TRANSCENDENTAL, extended

MOST = 600                  # instructions of one run
FAMILIES = INTEGER | VECTOR | {"avx", "fma", "crypto"}
# A stepped program would see TF; a transcendental result may be a neighbour of the host's.
# Flags that are not the host's would be handed on.
EXCLUDED = TRANSCENDENTAL | NOT_THE_HOSTS | {Mnemonic.PUSHF, Mnemonic.PUSHFD, Mnemonic.PUSHFQ}
MASKED = 0x1F80, 0x37F      # MXCSR and FCW with all exceptions masked
CHUNK = 20                  # programs of one task


@cache
def allowed(bits: int, families: frozenset[str]) -> tuple[tuple[int, ...], ...]:
    """Forms that the host has, the engine implements and the two agree on without exceptions, by mnemonic."""
    groups = []
    flags = cpu_flags()
    for codes in forms(bits, families):
        if OpCodeInfo(codes[0]).mnemonic in EXCLUDED:
            continue
        kept = tuple(code for code in codes if classify(code).status is Status.IMPLEMENTED
                     and not not_compared(code) and not lacking(code, flags))
        if kept:
            groups.append(kept)
    return tuple(groups)


class HostMaker(Maker):
    """Makes instructions that the host has and that can be compared on it."""

    def __init__(self, rng: Random, bits: int) -> None:
        super().__init__(rng, bits, BASES[bits], SequenceGenerator.areas)
        self.groups = allowed(self.bits, INTEGER)

    def add_vectors(self, count: int) -> None:
        """Let some instructions of the vector and x87 families take part, as often as all others together."""
        more = allowed(self.bits, FAMILIES - INTEGER)
        self.groups += tuple(self.rng.choice(more) for _ in range(count)) * (len(self.groups) // count)


class SequenceGenerator(Generator):
    """Programs for the oracle's arena."""

    areas = (DATA.address, DATA.address + 0x1000, DATA.address + 0x1800, DATA.address + 0x2000, READ_ONLY.address)
    stack, stack_pages, code_page = STACK.address, STACK.pages, PROGRAM.address

    def make_maker(self) -> Maker:
        """What makes single instructions."""
        return HostMaker(self.rng, self.bits)


class Found(NamedTuple):
    """What came of some programs."""

    programs: int
    instructions: int
    faults: int             # programs that ended so
    differences: tuple[str, ...]


class Sequences:
    """Programs on a host and in some engines."""

    def __init__(self, host: Host, guests: Sequence[Guest]) -> None:
        self.host, self.guests = host, guests

    def difference(self, program: Program) -> tuple[str, int, bool]:
        """What differs, if anything; how many instructions ran on the host, and whether a fault ended them."""
        rng = Random(program.seed ^ 0x0DDC0DE)
        most = rng.choice((rng.randrange(1, 40), rng.randrange(1, MOST)))
        case = start(program, rng)
        comparison = Comparison(self.host, self.guests)
        comparison.reset_host(case)
        host, ran = self.host.execute(case, most)
        for guest in self.guests:
            comparison.reset_guest(guest, case)
            guest.forget()
            try:
                outcome, count = guest.execute(case, most)
            except UnimplementedCase as why:
                return f"{guest.engine.mode}: not implemented: {why}", ran, False
            except (UnexpectedExit, TimeoutError) as why:
                return f"{guest.engine.mode}: {why}", ran, False
            at = decode(self.host.read(host.rip, 15) if PROGRAM.address <= host.rip < PROGRAM.end - 15 else b"\x90",
                        program.bits)
            what = comparison.differs(at.insn if at else Instruction(), host, outcome)
            if not what and count != ran:
                what = f"{ran} instructions != {count}"
            if what:
                return f"{guest.engine.mode}: {what} (after {ran} of {most} instructions)", ran, False
        return "", ran, host.fault is not None

    def shortest(self, program: Program) -> Program:
        """The program with as many items removed as can be."""
        return shrink(program, lambda candidate: bool(self.difference(candidate)[0]))


def start(program: Program, rng: Random) -> Case:
    """What a program starts from."""
    registers = (*program.registers, *(0,) * (16 - len(program.registers)))
    count = ZMMS if program.bits == 64 else ZMMS // 4
    zmm = b"".join(register(rng, rng.choice(("single", "double", "integer"))) for _ in range(count))
    st = b"".join(extended(rng) + bytes(6) for _ in range(8))
    top = rng.randrange(8)
    state = VectorState(MASKED[0] | rng.randrange(4) << 13, zmm.ljust(ZMM_BYTES * ZMMS, b"\0"), st,
                        MASKED[1] & ~0xF00 | rng.choice((0, 2, 3, 3)) << 8 | rng.randrange(4) << 10, top << 11,
                        rng.choice((0, 0xFF, rng.getrandbits(8))), opmask=b"".join(opmask(rng) for _ in range(OPMASKS)))
    return Case(b"", program.bits, registers, FLAGS | rng.choice((0, 0x8D5, rng.getrandbits(12) & 0x8D5)), 256, 320,
                ((PROGRAM.address, bytes([0xF4]) * PROGRAM.size), (program.origin, program.encode())), state,
                program.origin)


class Task(NamedTuple):
    """Programs for one process."""

    first: int
    programs: int
    bits: int | None


class Comparer:
    """What one process does: made in it, called with each of its tasks."""

    def __init__(self, engines: tuple[str, ...]) -> None:
        self.engines = engines

    def __call__(self) -> Callable[[Task], Found]:
        """The function that compares a task's programs."""
        sides = Sequences(Host(), [Guest(engine) for engine in self.engines])
        return lambda task: run(sides, task)


def run(sides: Sequences, task: Task) -> Found:
    """Compare a task's programs; those that differ are made as short as they can be."""
    instructions = faults = 0
    differences = []
    for seed in range(task.first, task.first + task.programs):
        program = SequenceGenerator(seed, task.bits).program()
        what, ran, fault = sides.difference(program)
        instructions += ran
        faults += fault
        if what:
            short = sides.shortest(program)
            what = sides.difference(short)[0] or what
            bits = f" --bits {task.bits}" if task.bits else ""
            differences.append(f"seed {seed}: {what} (again: strata oracle --family sequences --seed {seed} --count 1"
                               f"{bits})\n{short.listing()}")
    return Found(task.programs, instructions, faults, tuple(differences))


def compare(count: int, seed: int, engines: tuple[str, ...], bits: int | None, jobs: int | None,
            advance: Callable[[int, str], None]) -> Found:
    """Compare the programs of `count` seeds from `seed` on, in several processes."""
    tasks = [Task(first, min(CHUNK, seed + count - first), bits) for first in range(seed, seed + count, CHUNK)]
    programs = instructions = faults = 0
    differences: list[str] = []
    for found in spread(Comparer(engines), tasks, jobs):
        programs, instructions, faults = (programs + found.programs, instructions + found.instructions,
                                          faults + found.faults)
        differences += found.differences
        advance(found.programs, "")
    return Found(programs, instructions, faults, tuple(differences))
