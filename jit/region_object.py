"""Object code of a region from its assembly and its handlers' bitcode: here, or in a process that does nothing else.

LLVM's library is behind one lock, which an optimisation holds for as long as a second: a guest whose code is being
decoded, and new micro-ops loaded, would wait for each region that is compiled by another thread of its own process.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import llvmlite.binding as llvm

from jit import child
from jit.compiler import Compiler


def emit(compiler: Compiler, text: str, parts: list[bytes], symbol: str) -> bytes:
    """Link, optimise and assemble a module that defines `symbol`. Runs on any thread."""
    module = llvm.parse_assembly(text)
    for part in parts:
        module.link_in(llvm.parse_bitcode(part))
    for function in module.functions:
        if not function.is_declaration and function.name != symbol:
            function.linkage = "internal"
            function.add_function_attribute("alwaysinline")
    compiler.optimise(module)
    return compiler.target.emit_object(module)


class RegionProcess:
    """A process that compiles regions, started with the first one. Without it (none can be started, or it died), the
    caller's thread does the work."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._process: subprocess.Popen[bytes] | None = None
        self._usable, self._closed = True, False

    def emit(self, text: str, parts: list[bytes], symbol: str) -> bytes:
        """As the function `emit`. EOFError: closed meanwhile."""
        if self._usable:
            try:
                return self._ask(text, parts, symbol)
            except (OSError, EOFError, pickle.UnpicklingError):
                self._usable = False
        if self._closed:
            raise EOFError
        return emit(self._compiler, text, parts, symbol)

    def _ask(self, text: str, parts: list[bytes], symbol: str) -> bytes:
        if self._process is None:
            self._process = child.start("jit.region_object", pipes=True)
            if self._closed:
                self._process.kill()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        pickle.dump((text, parts, symbol), process.stdin)
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


def main() -> None:
    """Compile what comes on standard input, until it ends."""
    compiler = Compiler(help_wanted=False)
    while True:
        try:
            text, parts, symbol = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(emit(compiler, text, parts, symbol), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
