"""Conditions of breakpoints as text: Python's arithmetic and comparisons over registers and memory.

Names are registers (`rax`, `ecx`, `cr3`, `rflags`, ...), `plane`, `vcpu`, `icount`, `hits`, and what the event holds
(`value`, `old`, `index`, `linear`, `gpa`). `u8(a)`, `u16(a)`, `u32(a)`, `u64(a)` read memory as the plane sees it;
names of the image's symbols are their addresses. A condition that compares one register with a number is evaluated in
compiled code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from emu.debug.table import WRITTEN_VALUE, Comparison
from emu.state_names import REGISTERS, Register

ALLOWED = (ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.BinOp, ast.Add,
           ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift,
           ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Name, ast.Load, ast.Constant, ast.Call)
READS = ("u8", "u16", "u32", "u64")
MAX_SHIFT = 64


class ConditionError(ValueError):
    """A condition cannot be used; the text is one line that says why."""


class Condition:
    """A parsed condition. `comparison` is its form for compiled code, if it has one."""

    def __init__(self, text: str, known: Callable[[str], bool] = lambda name: False) -> None:
        """`known`: whether a name is a symbol. ConditionError: not such an expression."""
        self.text = text
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConditionError(f"condition {text!r}: not an expression ({error.args[0]})") from None
        for node in ast.walk(tree):
            self._check(node, known)
        self._code = compile(tree, "condition", "eval")
        self.comparison = _comparison(tree.body)

    def _check(self, node: ast.AST, known: Callable[[str], bool]) -> None:
        if not isinstance(node, ALLOWED):
            raise ConditionError(f"condition {self.text!r}: {type(node).__name__} is not allowed")
        if isinstance(node, ast.Constant) and not isinstance(node.value, int):
            raise ConditionError(f"condition {self.text!r}: {node.value!r} is not a number")
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in READS):
            raise ConditionError(f"condition {self.text!r}: only {', '.join(READS)} can be called")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift) and not (
                isinstance(node.right, ast.Constant) and node.right.value in range(MAX_SHIFT)):
            raise ConditionError(f"condition {self.text!r}: shifts must be by a number from 0 to {MAX_SHIFT - 1}")
        if isinstance(node, ast.Name) and node.id not in (*NAMES, *READS) and node.id not in REGISTERS \
                and not known(node.id):
            raise ConditionError(f"condition {self.text!r}: there is no register or symbol {node.id!r}")

    def value(self, names: Mapping[str, Any]) -> Any:
        """What the expression is worth. ZeroDivisionError, TypeError, LookupError, OverflowError or ValueError where it
        is worth nothing."""
        return eval(self._code, {"__builtins__": {}}, names)

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Whether it is true; division by zero and unreadable memory make it false."""
        try:
            return bool(self.value(names))
        except (ZeroDivisionError, TypeError, LookupError, OverflowError, ValueError):
            return False


NAMES = ("plane", "vcpu", "icount", "hits", "value", "old", "index", "linear", "gpa", "rip", "size")
_SWAPPED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq}


def _comparison(node: ast.expr) -> Comparison | None:
    """The native form of `register OP number`, if it has one."""
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1):
        return None
    left, relation, right = node.left, type(node.ops[0]), node.comparators[0]
    if isinstance(left, ast.Constant):
        left, relation, right = right, _SWAPPED[relation], left
    if not (isinstance(left, ast.Name) and isinstance(right, ast.Constant)
            and (left.id in REGISTERS or left.id == "value")):
        return None
    register = Register(WRITTEN_VALUE) if left.id == "value" else REGISTERS[left.id]
    limit = (1 << register.bits) - 1
    value = right.value
    if register.offset is None or register.shift or not isinstance(value, int) or not 0 <= value <= limit:
        return None
    slot = register.offset
    if relation in (ast.Eq, ast.NotEq):
        return Comparison(slot, limit, value, 0, relation is ast.NotEq)
    if relation in (ast.Lt, ast.GtE):
        return Comparison(slot, limit, 0, value - 1, relation is ast.GtE) if value else None
    return Comparison(slot, limit, 0, value, relation is ast.Gt)


