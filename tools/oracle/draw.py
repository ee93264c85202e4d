"""Cases of a form: some random encodings, each with several random states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from tools.oracle.arena import CODE, SLOT, SLOTS
from tools.oracle.case import Case
from tools.oracle.encode import Encoded, decode, random_encoding
from tools.oracle.forms import Form, family
from tools.oracle.generate import Builder
from tools.oracle.vector_values import VectorBuilder
from tools.oracle.x87_states import X87Builder
from tools.oracle.xsave_states import XsaveBuilder

STATES, ENCODINGS = 32, 4       # states of one encoding at most, as compiling it is what costs; encodings at least
_BUILDERS: dict[str, type[Builder]] = {"integer": Builder, "x87": X87Builder, "system": Builder}


def build(encoded: Encoded, form: Form, rng: Random, rip: int, fixed: bool) -> Case:
    """A random case of an encoding at `rip`; `fixed` where its bytes are not to change."""
    builder = _BUILDERS.get(family(form.code), VectorBuilder)
    if form.name.startswith(("XSAVE", "XRSTOR")):
        builder = XsaveBuilder
    return builder(encoded, form.bits, rng, fixed).build(rip)


def cases(forms: Iterable[Form], count: int, seed: int) -> Iterator[Case]:
    """`count` cases of each form; a form that cannot be encoded gives none. What a form gets depends on nothing but
    the seed, the count and the form."""
    slot = 0
    states = max(1, min(STATES, count // ENCODINGS))
    for form in forms:
        rng = Random(f"{seed} {form.bits} {form.name}")
        left = count
        while left > 0:
            encoded = random_encoding(form.code, form.bits, rng)
            if encoded is None:
                break
            rip = CODE.address + slot % SLOTS * SLOT
            slot += 1
            for number in range(min(states, left)):
                case = build(encoded, form, rng, rip, fixed=number > 0)
                encoded = encoded if number else _again(encoded, case)
                left -= 1
                yield case


def _again(encoded: Encoded, case: Case) -> Encoded:
    """The encoding as its first case has it, with the displacement that it chose."""
    return encoded if encoded.data == case.code else decode(case.code, case.bits) or encoded
