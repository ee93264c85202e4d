"""From registered micro-ops and runtime functions to native code, lazily, through the on-disk cache.

Importing this module does not import numba: a run whose code is all cached never does.
"""

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import llvmlite.binding as llvm
import numpy as np

from jit import exits, warm
from jit.cache import Cache, Compiled
from jit.region_view import keeps_to_view, names_slot
from jit.registry import COND, END, JUMP, OPS, PLAIN, SEMANTICS
from jit.threaded import Wrapper, build_exit

if TYPE_CHECKING:
    from llvmlite import ir

MAX_OPS = 16384
STOP, STALE = "stop", "stale"
EXIT_OPS = {STOP: exits.STOPPED, STALE: exits.STALE}
REGION_KINDS = (PLAIN, COND, JUMP)
SLOW_PATHS = ("strata_slow_load", "strata_slow_store", "strata_slow_probe", "strata_slow_track",
              "strata_slow_loadv", "strata_slow_storev")
PURE = "strata_pure_"                               # runtime functions that never see the plane's state
PREFIX = "strata_"                                  # of the symbols of runtime functions
INLINED = ("jump_cached", "fall_through")           # runtime functions that every wrapper inlines


class Compiler:
    """One per process: LLVM's target machine and code memory, the handler table and the runtime functions."""

    def __init__(self, cache: Cache | None = None, help_wanted: bool = True) -> None:
        """`help_wanted`: when something must be compiled, start a process that compiles ahead (jit/warm.py)."""
        self.help_wanted = help_wanted
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.target = llvm.Target.from_default_triple().create_target_machine(
            opt=2, jit=True, reloc="static", codemodel="large", cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten())
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.target)
        self.cache = cache or Cache()
        self.lock = threading.RLock()
        self.table = np.zeros(MAX_OPS, np.uint64)   # op id -> interpreter handler
        self.table_address: int = self.table.ctypes.data
        self.ids: dict[str, int] = {}
        self.names: list[str] = []
        self.compiled: dict[str, Compiled] = {}
        self.functions: dict[str, int] = {}         # runtime function -> address
        self._compilable: dict[str, bool] = {}
        self._names_slot: dict[str, bool] = {}
        self.built = 0                              # functions compiled in this process, not taken from the cache
        self.progress: Callable[[str], None] | None = None
        for name in EXIT_OPS:
            self.op_id(name)

    def op_id(self, name: str) -> int:
        """The id of a micro-op, compiling it if it is new to this process. KeyError: there is none of that name."""
        known = self.ids.get(name)
        if known is not None:
            return known
        with self.lock:
            address = self._load("op." + name, lambda: self._build_op(name))
            self.names.append(name)
            self.table[len(self.ids)] = address
            self.ids[name] = len(self.ids)
            return self.ids[name]

    def address(self, name: str) -> int:
        """Address of the interpreter's handler of a micro-op."""
        return int(self.table[self.op_id(name)])

    def function(self, name: str) -> int:
        """Address of a runtime function (jit/runtime.py), compiling it if need be."""
        known = self.functions.get(name)
        if known is None:
            with self.lock:
                known = self.functions[name] = self._load("fn." + name, lambda: self._build_function(name))
                llvm.add_symbol(PREFIX + name, known)
        return known

    def bitcode(self, name: str) -> Compiled:
        """The compiled form of a micro-op that is in use, for linking into a region."""
        return self.compiled["op." + name]

    def compilable(self, name: str) -> bool:
        """Whether a region may contain the micro-op: it calls nothing but what regions have fast paths for, and
        functions of no state, through whose argument LLVM would lose sight of the registers, and touches only what
        regions have of the state."""
        known = self._compilable.get(name)
        if known is None:
            found = self.bitcode(name)
            module = llvm.parse_bitcode(found.bitcode) if found.bitcode else None
            known = self._compilable[name] = found.kind in REGION_KINDS and module is not None and all(
                f.name in SLOW_PATHS or f.name.startswith(("llvm.", PURE))
                for f in module.functions if f.is_declaration) and keeps_to_view(str(module))
        return known

    def names_slot(self, name: str) -> bool:
        """Whether the micro-op's operand word D is an offset into the state, so that a region must look at it."""
        known = self._names_slot.get(name)
        if known is None:
            known = self._names_slot[name] = names_slot(str(llvm.parse_bitcode(self.bitcode(name).bitcode)))
        return known

    def add_object(self, code: bytes, symbol: str) -> int:
        """Load object code into this process; gives the symbol's address."""
        with self.lock:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            self.engine.finalize_object()
            return self.engine.get_function_address(symbol)

    # --- building ---------------------------------------------------------------------------------------------------

    def _load(self, key: str, build: Callable[[], Compiled]) -> int:
        found = self.cache.get(key)
        if found is None:
            if self.progress:
                self.progress(f"compiling {key[3:]}")
            found = self._compile(key, build)
        self.compiled[key] = found
        for name in found.needs:
            self.function(name)
            if PREFIX + name in SLOW_PATHS[-2:]:
                self.function(name.replace("slow", "region"))
        return self.add_object(found.object, found.symbol)

    def _compile(self, key: str, build: Callable[[], Compiled]) -> Compiled:
        """Build a function, or wait for the process that already does."""
        if self.help_wanted:
            self.help_wanted = False
            warm.start()
        if not self.cache.claim(key):
            found = self.cache.wait(key)
            if found is not None:
                return found
        try:
            found = build()
            self.built += 1
            self.cache.put(key, found)
            return found
        finally:
            self.cache.release(key)

    def _build_op(self, name: str) -> Compiled:
        symbol = "op." + name
        if name in EXIT_OPS:
            return self._emit(symbol, str(build_exit(symbol, EXIT_OPS[name])), [], b"", "", END)
        for module in SEMANTICS:
            importlib.import_module(f"jit.semantics.{module}")
        entry = OPS[name]
        from jit.lower import handler_module
        body, text = handler_module(entry.build(), name)
        bitcode = self._slim(text, body)
        wrapper: ir.Module = Wrapper(symbol).build(body, entry.kind)
        helpers = [self._helper(h) for h in INLINED]
        return self._emit(symbol, str(wrapper), [bitcode, *helpers], bitcode, body, entry.kind)

    def _helper(self, name: str) -> bytes:
        self.function(name)
        return self.compiled["fn." + name].bitcode

    def _build_function(self, name: str) -> Compiled:
        from jit.lower import runtime_module
        symbol, text = runtime_module(name)
        bitcode = self._bitcode(text)
        return self._emit(symbol, None, [bitcode], bitcode, symbol, "function")

    def _bitcode(self, text: str) -> bytes:
        return llvm.parse_assembly(text).as_bitcode()

    def _slim(self, text: str, body: str) -> bytes:
        """Bitcode of a handler with its helpers inlined: small enough to be linked into many regions."""
        module = llvm.parse_assembly(text)
        for function in module.functions:
            if not function.is_declaration and function.name != body:
                function.linkage = "internal"
                function.add_function_attribute("alwaysinline")
        self.optimise(module)
        return module.as_bitcode()

    def optimise(self, module: llvm.ModuleRef, level: int = 2, sink: bool = False) -> None:
        """Run LLVM's standard pipeline of a level over the module. `sink`: then move what only one branch needs into
        it, as the lazy flags that are only needed where a region is left."""
        tuning = llvm.create_pipeline_tuning_options(speed_level=level)
        tuning.loop_vectorization = False           # table scans are short, and scatters are slower than stores
        builder = llvm.create_pass_builder(self.target, tuning)
        builder.getModulePassManager().run(module, builder)
        if sink:
            late = llvm.create_new_module_pass_manager()
            late.add_sinking_pass()
            late.run(module, builder)

    def link(self, text: str | None, parts: list[bytes], keep: str) -> llvm.ModuleRef:
        """One module from assembly text and bitcode, of which only the symbol `keep` stays visible."""
        module = llvm.parse_assembly(text) if text is not None else llvm.parse_bitcode(parts[0])
        for part in parts if text is not None else parts[1:]:
            module.link_in(llvm.parse_bitcode(part))
        for function in module.functions:
            if not function.is_declaration and function.name != keep:
                function.linkage = "internal"
                function.add_function_attribute("alwaysinline") if text is not None else None
        return module

    def _emit(self, symbol: str, text: str | None, parts: list[bytes], bitcode: bytes, body: str,
              kind: str) -> Compiled:
        module = self.link(text, parts, symbol)
        self.optimise(module)
        needs = tuple(f.name.removeprefix(PREFIX) for f in module.functions
                      if f.is_declaration and f.name.startswith(PREFIX))
        return Compiled(symbol, self.target.emit_object(module), bitcode, body, kind, needs)


_shared: Compiler | None = None


def compiler() -> Compiler:
    """The process's compiler."""
    global _shared
    if _shared is None:
        _shared = Compiler()
    return _shared
