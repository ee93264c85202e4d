"""What handlers inside a compiled region may touch of the state, and whether a handler keeps to it.

A region works on a copy. [0, HOT_END) is copied in and out; [HOT_END, VIEW_END) -- segments, control registers, CPL --
is copied in only; nothing else is there. So a handler that reads beyond, or writes beyond the hot part, must run in
the interpreter. Descriptions of a fault are an exception: a handler that gives one is executed again outside.
"""

import re

from jit import layout

VIEW_END = layout.EFER + 8
DROPPED = frozenset((layout.FAULT_VECTOR, layout.FAULT_ERROR, layout.FAULT_HAS_ERROR))    # stores that change nothing

_PHI = re.compile(r"^\s*(%\S+) = (?:phi i64 (.*)|select i1 \S+, i64 (-?\w+|%\S+), i64 (-?\w+|%\S+))$", re.MULTILINE)
_GEP = re.compile(r"^\s*(%\S+) = getelementptr [^%]*ptr (%\S+), i64 (-?\d+|%\S+)$", re.MULTILINE)
_LOAD = re.compile(r"= load \S+ ptr (%\S+?)(?:,|$)", re.MULTILINE)
_DEFINE = re.compile(r"^define [^@]*@[^(]*\(ptr [^%]*(%[\w.]+), i64 [^%]*(%[\w.]+),", re.MULTILINE)
_ASSIGN = re.compile(r"^\s*(%\S+) = (?!load)(.*)$", re.MULTILINE)
_NAME = re.compile(r"%[\w.]+")
_STORE = re.compile(r"^\s*store .*, ptr (%\S+?)(?:,|$)", re.MULTILINE)


def keeps_to_view(text: str) -> bool:
    """Whether the LLVM assembly of a handler reads and writes only what a region's copy has. Offsets that come from
    operand words are register slots, and not looked at here."""
    offsets = _offsets(text)
    for pointer in _LOAD.findall(text):
        if any(at >= VIEW_END for at in offsets.get(pointer, ())):
            return False
    for pointer in _STORE.findall(text):
        if any(at >= layout.HOT_END and at not in DROPPED for at in offsets.get(pointer, ())):
            return False
    return True


def _offsets(text: str) -> dict[str, list[int]]:
    """Constant state offsets of each pointer; LLVM may have merged several accesses into one through a phi."""
    numbers: dict[str, list[int]] = {}
    for name, phi, first, second in _PHI.findall(text):
        parts = re.findall(r"\[ (\S+), ", phi) if phi else [first, second]
        numbers[name] = [int(part) for part in parts if part.lstrip("-").isdigit()]
    return {name: [int(at)] if at.lstrip("-").isdigit() else numbers.get(at, [])
            for name, _, at in _GEP.findall(text)}


def names_slot(text: str) -> bool:
    """Whether operand word D of a handler may be an offset into the state, and not into the FPU file."""
    found = _DEFINE.search(text)
    if found is None:
        return True
    state, derived = found[1], {found[2]}
    assigned = [(name, set(_NAME.findall(value)), value) for name, value in _ASSIGN.findall(text)]
    before = 0
    while len(derived) != before:
        before = len(derived)
        derived |= {name for name, used, _ in assigned if used & derived}
    return any("getelementptr" in value and state in used and used & derived for _, used, value in assigned)
