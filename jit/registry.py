"""The list of micro-ops: name -> how its handler is built.

A handler is `f(st, d, a, b, imm) -> status` over a state pointer, three operand words (usually offsets of state
slots: destination, first and second source) and an immediate. Its *kind* says how control leaves it:

    PLAIN   on OK the next micro-op follows
    COND    ends a block; TAKEN goes to the branch target, OK falls through
    JUMP    ends a block; RIP was written (the target may also be linked)
    REP     like COND for a repeated instruction, whose TAKEN goes back to itself and which may do several iterations:
            REP_LEFT holds the budget after this one and goes down by one for each more
    END     ends a block; on OK execution resumes at the next instruction through the run loop, which looks again at
            mode and events (system instructions)
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

PLAIN, COND, REP, JUMP, END = "plain", "cond", "rep", "jump", "end"
SEMANTICS = ("move", "alu", "shift", "muldiv", "bits", "bcd", "exchange", "flagops", "control", "stack", "frame",
             "segment", "string", "system", "translation", "far", "interrupt", "io", "hypercall", "snp",
             "vector_move", "vector_integer", "vector_shuffle", "vector_float", "vector_convert", "vector_string",
             "vector_state", "vector_wide", "vector_mask", "vector_opmask", "vector_permute", "vector_bitwise",
             "vector_fma", "vector_parts", "vector_galois", "vector_aes", "vector_sha", "vector_dot",
             "vector_bfloat", "vector_masked", "vector_gather", "vector_bits", "xsave", "random", "wait", "cet",
             "x87", "probe", "branches")


class Op(NamedTuple):
    """A micro-op before it is compiled: `build()` gives the Python function that numba compiles, or the object that
    writes its LLVM module (jit/vector.py)."""

    name: str
    kind: str
    build: Callable[[], Any]


OPS: dict[str, Op] = {}


def op(name: str, *variants: Any, kind: str = PLAIN) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a micro-op, or a family of them.

    Without variants the decorated function is the handler `name`. With variants it is a factory called with one of
    them, and each `name.variant` (a tuple's parts joined by dots) is a micro-op of its own.
    """
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if not variants:
            add(name, kind, lambda: function)
        for variant in variants:
            parts = variant if isinstance(variant, tuple) else (variant,)
            add(".".join((name, *map(str, parts))), kind, partial(function, *parts))
        return function
    return register


def add(name: str, kind: str, build: Callable[[], Any]) -> None:
    """Register one micro-op."""
    assert name not in OPS, f"{name} is defined twice"
    OPS[name] = Op(name, kind, build)
