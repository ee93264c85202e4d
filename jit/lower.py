"""Python function -> LLVM text, through numba. Imported only when something must be compiled."""

import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from numba import cfunc, types
from numba.core import config

from jit import native
from jit.vector import VectorHandler

# The compiler optimises once everything is linked; twice would only cost start-up time.
config.OPT = config._OptLevel(0)

HANDLER = types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64)


def _declare_symbols() -> None:
    """Give every runtime function an address, so that numba can link its own copy of a caller, which never runs.
    The compiler sets the real address before it links code that does."""
    from jit.runtime import FUNCTIONS
    for name in FUNCTIONS:
        if not llvm.address_of_symbol("strata_" + name):
            llvm.add_symbol("strata_" + name, 1)


def _compile(function: Callable[..., Any], signature: Any, symbol: str) -> str:
    _declare_symbols()
    compiled = cfunc(signature, **{k: v for k, v in native.OPTIONS.items() if k != "no_cpython_wrapper"})(function)
    text = compiled._library.get_llvm_str()
    # The wrapper with the C signature calls the body through attributes that forbid inlining.
    text = re.sub(r"\bnoinline\b", "nounwind", text)
    name = compiled.native_name
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
