"""Functions of policies that users write: what may stand in them, and the fuel that every call and every turn of a loop
uses, so that none goes on for ever.

Functions hand an address `strata_fuel` on to each other (jit/script_guard.py). The fuel of one turn is the number of
nodes in the syntax tree of what is repeated, so that fuel bounds time. Arithmetic that traps, or that compiled code
leaves undefined, goes through functions too.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

OWN = "strata_"                 # names of what is put in begin so, and no others
FUEL = "strata_fuel"
ARGUMENTS = {"abs": (1, 1), "bool": (1, 1), "int": (1, 1), "max": (2, 16), "min": (2, 16)}
BUILTINS = {*ARGUMENTS, "range"}
PLAIN: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor}
GUARDED = {ast.FloorDiv: "strata_quotient", ast.Mod: "strata_remainder", ast.LShift: "strata_left",
           ast.RShift: "strata_right"}
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
SMALLEST, LARGEST = -1 << 63, (1 << 63) - 1


class Refused(ValueError):
    """Something that is not of the language, and its line."""

    def __init__(self, node: Any, why: str) -> None:
        super().__init__(f"line {node.lineno}: {why}")


def number(node: ast.expr, value: object) -> int:
    """A number that fits into a register. Refused: it is none."""
    if not isinstance(value, int):
        raise Refused(node, f"{value!r} is not an integer")
    if not SMALLEST <= value <= LARGEST:
        raise Refused(node, "a number of more than 64 bits with its sign")
    return value


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Whether statements surely end in `return`."""
    last = body[-1]
    return isinstance(last, ast.Return) or isinstance(last, ast.If) and bool(last.orelse) and _ends(last.body) \
        and _ends(last.orelse)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _plain(left: ast.expr, operation: ast.operator, right: ast.expr) -> ast.expr:
    """An operation that wraps, on numbers too: Python's compiler would compute those without bounds."""
    if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
        value = PLAIN[type(operation)](number(left, left.value), number(right, right.value))
        return ast.Constant((value - SMALLEST) % (1 << 64) + SMALLEST)
    return ast.BinOp(left, operation, right)


def _burn(node: ast.AST) -> ast.stmt:
    """Pay for what a function or a loop does once, and give up if there is nothing left to pay with."""
    steps = sum(1 for _ in ast.walk(node))
    return ast.If(_call("strata_burn", ast.Name(FUEL, ast.Load()), ast.Constant(steps)),
                  [ast.Return(ast.Constant(0))], [])


class Rewriter(ast.NodeTransformer):
    """Checks functions and writes them anew. `functions` gives the parameters of all that the file has, `numbers` the
    names of its constants."""

    def __init__(self, functions: Mapping[str, Sequence[str]], numbers: AbstractSet[str]) -> None:
        self._functions, self._numbers = functions, numbers
        self._locals: set[str] = set()

    def function(self, node: ast.FunctionDef) -> ast.stmt:
        """The function with fuel. Variables are 0 before they are given a value. Refused."""
        parameters = self._functions[node.name]
        assigned = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self._locals = assigned | set(parameters)
        for name in sorted(self._locals):
            if name.startswith(OWN) or name in BUILTINS or name in self._functions:
                raise Refused(node, f"{name} has a meaning already")
        if not _ends(node.body):
            raise Refused(node, f"{node.name} may come to its end without a return")
        zeros = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(0))
                 for name in sorted(assigned - set(parameters))]
        arguments = ast.arguments([], [ast.arg(name) for name in (FUEL, *parameters)], None, [], [], None, [])
        body = [*zeros, _burn(node), *(self.visit(statement) for statement in node.body)]
        return ast.copy_location(ast.FunctionDef(node.name, arguments, body, []), node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        raise Refused(node, f"{type(node).__name__} is not for policies")

    def _parts(self, node: ast.AST) -> ast.AST:
        """A construct that is as it is in Python."""
        return super().generic_visit(node)

    # --- statements ------------------------------------------------------------------------------------------------

    visit_If = _parts
    visit_Pass = visit_Break = visit_Continue = _parts

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is None:
            raise Refused(node, "a return without a value")
        return self._parts(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """A docstring."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.copy_location(ast.Pass(), node)
        raise Refused(node, "an expression of which nothing comes")

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if len(node.targets) > 1 or not isinstance(node.targets[0], ast.Name):
            raise Refused(node, "a value is given to one name at a time")
        return self._parts(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if not isinstance(node.target, ast.Name) or node.value is None:
            raise Refused(node, "a variable without a value")
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if not isinstance(node.target, ast.Name):
            raise Refused(node, "a value is given to one name at a time")
        before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        value = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
        return self.visit(ast.copy_location(ast.Assign([node.target], value), node))

    def visit_While(self, node: ast.While) -> ast.AST:
        burn = _burn(node)
        self._parts(node)
        node.body.insert(0, burn)
        return self._loop(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        turns = node.iter
        if not (isinstance(turns, ast.Call) and isinstance(turns.func, ast.Name) and turns.func.id == "range"
                and isinstance(node.target, ast.Name) and 1 <= len(turns.args) <= 3 and not turns.keywords):
            raise Refused(node, "a loop that is neither while nor over a range")
        if len(turns.args) == 3 and not self._step(turns.args[2]):
            raise Refused(node, "a range whose step is not a number other than 0")
        burn = _burn(node)
        turns.args = [self.visit(argument) for argument in turns.args]
        node.body = [burn, *(self.visit(statement) for statement in node.body)]
        return self._loop(node)

    def _step(self, node: ast.expr) -> bool:
        try:
            return number(node, ast.literal_eval(node)) != 0
        except (ValueError, TypeError):
            return False

    def _loop(self, node: ast.While | ast.For) -> ast.AST:
        if node.orelse:
            raise Refused(node, "a loop with else")
        return node

    # --- expressions -----------------------------------------------------------------------------------------------

    visit_IfExp = visit_BoolOp = _parts
    visit_And = visit_Or = _parts
    visit_Not = _parts

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """As differences: Numba's operators on truth values are not those on 0 and 1."""
        if isinstance(node.op, ast.Not):
            return self._parts(node)
        start = ast.Constant(-1 if isinstance(node.op, ast.Invert) else 0)
        operation = ast.Add() if isinstance(node.op, ast.UAdd) else ast.Sub()
        return ast.copy_location(_plain(start, operation, self.visit(node.operand)), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._locals and node.id not in self._numbers:
            raise Refused(node, f"there is no number {node.id}")
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        number(node, node.value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        for comparison in node.ops:
            if not isinstance(comparison, COMPARISONS):
                raise Refused(node, f"{type(comparison).__name__} is not for policies")
        node.left, node.comparators = self.visit(node.left), [self.visit(other) for other in node.comparators]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        if type(node.op) in GUARDED:
            return ast.copy_location(_call(GUARDED[type(node.op)], ast.Name(FUEL, ast.Load()), left, right), node)
        if type(node.op) not in PLAIN:
            raise Refused(node, f"{type(node.op).__name__} is not for integers")
        return ast.copy_location(_plain(left, node.op, right), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in self._functions:
            fewest = most = len(self._functions[name])
        elif name in ARGUMENTS:
            fewest, most = ARGUMENTS[name]
        else:
            raise Refused(node, "a call of something else than the file's functions, " + ", ".join(ARGUMENTS))
        if node.keywords or not fewest <= len(node.args) <= most:
            raise Refused(node, f"{name} takes other arguments")
        arguments = [self.visit(argument) for argument in node.args]
        own = [ast.Name(FUEL, ast.Load())] if name in self._functions else []
        return ast.copy_location(_call(name, *own, *arguments), node)
