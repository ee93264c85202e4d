"""The layers import one way: jit <- emu <- tools; firmware is imported by nobody."""
import ast
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "jit": {"emu", "tools", "firmware", "tests", "iced_x86", "rich", "textual"},
    "emu": {"tools", "firmware", "tests", "rich", "textual"},
    "tools": {"firmware", "tests"},
}


def imported(source: str) -> set[str]:
    """The top-level packages that a module's text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                "import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            found.add(node.args[0].value.partition(".")[0])
    return found


@pytest.mark.parametrize("source, packages", [
    ("import emu.machine", {"emu"}),
    ("def f():\n from tools.cli import run", {"tools"}),
    ("from . import x", set()),
    ("importlib.import_module('firmware.x')", {"firmware"}),
])
def test_the_walk_finds_every_way_to_import(source, packages):
    assert imported(source) == packages


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_only_downwards(layer):
    modules = sorted((TOP / layer).rglob("*.py"))
    assert modules
    wrong = {str(path.relative_to(TOP)): sorted(bad) for path in modules
             if (bad := imported(path.read_text(encoding="utf-8")) & FORBIDDEN[layer])}
    assert not wrong
