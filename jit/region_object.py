"""Object code of a region: from its assembly and its handlers' bitcode, or by a process that does nothing else.

A thread of the guest's own process would make it wait: for the interpreter's lock while the assembly is written, and
for that of LLVM's library, which an optimisation holds for as long as a second.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from jit import child
from jit.compiler import Compiler

if TYPE_CHECKING:
    from jit.region import Plan, RegionBuilder


def emit(compiler: Compiler, text: str, parts: list[bytes], symbol: str) -> bytes:
    """Link, optimise and assemble a module that defines `symbol`. Runs on any thread."""
    module = llvm.parse_assembly(text)
    for part in parts:
        module.link_in(llvm.parse_bitcode(part))
    for function in module.functions:
        if not function.is_declaration and function.name != symbol:
            function.linkage = "internal"
            if b"noinline" not in b"".join(function.attributes):
                function.add_function_attribute("alwaysinline")
    compiler.optimise(module, sink=True)
    return compiler.target.emit_object(module)


class RegionProcess:
    """A process that compiles regions, started with the first one. It is told once of each function that regions are
    made of."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._process: subprocess.Popen[bytes] | None = None
        self._told: set[str] = set()
        self._usable, self._closed = True, False

    def compile(self, plan: Plan, symbol: str, kind: type[RegionBuilder], functions: set[str]) -> bytes | None:
        """As compile_region (jit/region.py); None: there is no such process, or it died. EOFError: closed meanwhile."""
        if self._usable:
            new = functions - self._told
            self._told |= new
            try:
                return self._ask((plan, symbol, kind, self._compiler.table_address,
                                  {name: self._compiler.compiled[name]._replace(object=b"") for name in new}))
            except (OSError, EOFError, pickle.UnpicklingError):
                self._usable = False
        if self._closed:
            raise EOFError
        return None

    def _ask(self, question: tuple[Any, ...]) -> bytes:
        if self._process is None:
            self._process = child.start("jit.region_object", pipes=True)
            if self._closed:
                self._process.kill()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        pickle.dump(question, process.stdin)
        process.stdin.flush()
        code = pickle.load(process.stdout)
        assert isinstance(code, bytes)
        return code

    def close(self) -> None:
        """End the process, whatever it does. From any thread."""
        self._closed, self._usable = True, False
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class _Told(Compiler):
    """The compiler as regions see it there: it knows the functions that it was told of, and runs none."""

    def op_id(self, name: str) -> int:
        return 0


def main() -> None:
    """Compile what comes on standard input, until it ends."""
    from jit.region import compile_region
    compiler = _Told(help_wanted=False)
    while True:
        try:
            plan, symbol, kind, compiler.table_address, functions = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        compiler.compiled.update(functions)
        pickle.dump(compile_region(compiler, plan, symbol, kind), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
