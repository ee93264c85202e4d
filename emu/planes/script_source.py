"""The language of policies that users write: integers, constants and functions in Python's syntax. A file is parsed and
never executed as Python; what is not of the language is refused with its line."""

from __future__ import annotations

import ast
import warnings
from typing import Any, NamedTuple

from emu.planes.script_function import BUILTINS, OWN, Refused, Rewriter, number

MAX_BYTES, MAX_NODES = 65536, 2000


class Program(NamedTuple):
    """What a file has: its constants, the parameters of its functions, and these as code that defines them, with
    fuel."""

    constants: dict[str, Any]
    parameters: dict[str, tuple[str, ...]]
    code: ast.Module


def parse(source: str) -> Program:
    """A file's program. ValueError, of which Refused is one: it is none."""
    if len(source) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # of Python's parser, about what is refused later
            tree = ast.parse(source)
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES} names, numbers and operators")
        return _program(tree)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno or 1}: {error.msg}") from error
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None


def _program(tree: ast.Module) -> Program:
    constants: dict[str, Any] = {}
    functions: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[_new(node, node.name, constants, functions)] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            constants[_new(node, _target(node), constants, functions)] = _constant(node.value)
        elif not (_is_text(node) or _imports_numba(node)):
            raise Refused(node, f"{type(node).__name__} is not for policies, which have constants and functions")
    parameters = {name: _parameters(node) for name, node in functions.items()}
    numbers = {name for name, value in constants.items() if isinstance(value, int)}
    rewritten: list[ast.stmt] = [Rewriter(parameters, numbers).function(node) for node in functions.values()]
    _check_calls(functions)
    return Program(constants, parameters, ast.fix_missing_locations(ast.Module(rewritten, [])))


def _new(node: ast.stmt, name: str, *taken: dict[str, Any]) -> str:
    """A name that is given for the first time."""
    if name.startswith(OWN) or name in BUILTINS or any(name in names for names in taken):
        raise Refused(node, f"{name} has a meaning already")
    return name


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    if not isinstance(target, ast.Name) or isinstance(node, ast.Assign) and len(node.targets) > 1:
        raise Refused(node, "a value is given to one name at a time")
    return target.id


def _constant(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise Refused(node, "outside functions values are plain numbers and texts") from error
    return value if isinstance(value, str) else number(node, value)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports_numba(node: ast.stmt) -> bool:
    """Functions may be decorated, so that they can be used elsewhere; here they are compiled anyway."""
    return (isinstance(node, ast.Import) and all(alias.name == "numba" for alias in node.names)
            or isinstance(node, ast.ImportFrom) and node.module in ("numba", "__future__"))


def _parameters(node: ast.FunctionDef) -> tuple[str, ...]:
    given = node.args
    if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
        raise Refused(node, f"{node.name} has parameters other than plain ones")
    return tuple(argument.arg for argument in given.args)


def _check_calls(functions: dict[str, ast.FunctionDef]) -> None:
    """No function calls itself, whatever is between: stacks end."""
    reached = {name: {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
               & functions.keys() for name, node in functions.items()}
    for _ in functions:
        for name in functions:
            reached[name] = reached[name].union(*(reached[other] for other in reached[name]))
    for name, node in functions.items():
        if name in reached[name]:
            raise Refused(node, f"{name} calls itself")
