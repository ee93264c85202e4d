"""Python function -> LLVM text, through numba. Imported only when something must be compiled."""

import re
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import config

from jit.linkable import linkable
from jit.vector import VectorHandler

# The compiler optimises once everything is linked; twice would only cost start-up time.
config.OPT = config._OptLevel(0)

HANDLER = types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64)


def _compile(function: Callable[..., Any], signature: Any, symbol: str) -> str:
    """LLVM text in which `symbol` is the function with the C signature, around the body that numba makes."""
    dispatcher = linkable(function, no_cfunc_wrapper=False)
    dispatcher.compile(signature)
    (compiled,) = dispatcher.overloads.values()
    # The wrapper with the C signature calls the body through attributes that forbid inlining.
    text = re.sub(r"\bnoinline\b", "nounwind", str(compiled.library.linked()))
    name = compiled.fndesc.llvm_cfunc_wrapper_name
    return text.replace(f"@{name}(", f"@{symbol}(").replace(f'@"{name}"(', f"@{symbol}(")


def handler_module(function: Any, name: str) -> tuple[str, str]:
    """(symbol, LLVM text) of a handler: a Python function, or an object that writes its own module."""
    symbol = "h." + name
    if isinstance(function, VectorHandler):
        return symbol, function.text(symbol)
    return symbol, _compile(function, HANDLER, f'"{symbol}"')


def runtime_module(name: str) -> tuple[str, str]:
    """(symbol, LLVM text) of the runtime function `name` (jit/runtime.py)."""
    from jit.runtime import FUNCTIONS
    function: Any
    function, signature = FUNCTIONS[name]
    symbol = "strata_" + name
    return symbol, _compile(function, signature, symbol)
