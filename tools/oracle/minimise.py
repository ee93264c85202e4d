"""Makes a case on which the sides differ simpler, as long as they still do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.oracle.case import OPMASKS, ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.encode import decode
from tools.oracle.generate import FLAGS

SIMPLE = (0, 1)
MXCSR_DEFAULT, FCW_DEFAULT = 0x1F80, 0x37F
ROUNDS = 3


def minimise(case: Case, differs: Callable[[Case], bool]) -> Case:
    """The simplest case found that still differs: fewer prefixes, registers that are 0, no memory contents of its
    own, default control words."""
    for _ in range(ROUNDS):
        before = case
        for step in (_prefixes, _registers, _pokes, _words, _vectors):
            for candidate in step(case):
                # Each candidate changes one thing of the case that the step began with; keep those that still differ.
                merged = candidate(case)
                if merged is not None and merged != case and differs(merged):
                    case = merged
        if case == before:
            break
    return case


Change = Callable[[Case], Case | None]


def _prefixes(case: Case) -> Iterator[Change]:
    wanted = decode(case.code, case.bits)

    def without(at: int) -> Change:
        def change(now: Case) -> Case | None:
            code = now.code[:at] + now.code[at + 1:]
            found = decode(code, now.bits)
            same = found and wanted and found.insn.code == wanted.insn.code and len(found.data) == len(code)
            return now._replace(code=code) if same else None
        return change
    for at in reversed(range(min(len(case.code) - 1, 6))):
        yield without(at)


def _registers(case: Case) -> Iterator[Change]:
    def register(number: int, value: int) -> Change:
        def change(now: Case) -> Case | None:
            if now.registers[number] == value or now.registers[number] in SIMPLE[:SIMPLE.index(value)]:
                return None
            return now._replace(registers=(*now.registers[:number], value, *now.registers[number + 1:]))
        return change
    for number in range(len(case.registers)):
        for value in SIMPLE:
            yield register(number, value)
    def flag(bit: int) -> Change:
        return lambda now: now._replace(flags=now.flags & ~(1 << bit) | FLAGS)
    for bit in range(16):
        yield flag(bit)
    yield lambda now: now._replace(fs_base=0)
    yield lambda now: now._replace(gs_base=0)


def _pokes(case: Case) -> Iterator[Change]:
    def without(poke: tuple[int, bytes]) -> Change:
        return lambda now: now._replace(pokes=tuple(p for p in now.pokes if p != poke))

    def cleared(poke: tuple[int, bytes]) -> Change:
        return lambda now: now._replace(pokes=tuple((p[0], bytes(len(p[1]))) if p == poke else p for p in now.pokes))
    for poke in case.pokes:
        yield without(poke)
        yield cleared(poke)


def _words(case: Case) -> Iterator[Change]:
    def word(name: str, value: int | bytes) -> Change:
        return _part(lambda state: state._replace(**{name: value}))    # type: ignore[arg-type]
    # Without any vector state what other cases left would count.
    for name, value in (("mxcsr", MXCSR_DEFAULT), ("fcw", FCW_DEFAULT), ("fsw", 0), ("ftw", 0), ("ftw", 0xFF),
                        ("fop", 0), ("fip", 0), ("fdp", 0), ("st", bytes(128))):
        yield word(name, value)


def _vectors(case: Case) -> Iterator[Change]:
    for number in range(ZMMS):
        for first, last in ((0, 64), (32, 64), (16, 32), (8, 16), (4, 8), (0, 4)):
            yield _part(_zero("zmm", ZMM_BYTES * number + first, ZMM_BYTES * number + last))
    for number in range(OPMASKS):
        yield _part(_zero("opmask", 8 * number, 8 * number + 8))
    for number in range(8):
        yield _part(_zero("st", 16 * number, 16 * number + 10))


def _zero(name: str, first: int, last: int) -> Callable[[VectorState], VectorState]:
    def zero(state: VectorState) -> VectorState:
        data = getattr(state, name)
        return state._replace(**{name: data[:first] + bytes(last - first) + data[last:]})
    return zero


def _part(change: Callable[[VectorState], VectorState]) -> Change:
    return lambda now: now._replace(vector=change(now.vector)) if now.vector else None
