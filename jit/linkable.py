"""How numba compiles semantics: to LLVM modules that are linked into others, and no further.

Numba by itself would optimise and emit every function on its own, with a copy of all that it calls, none of which ever
runs: handlers and runtime functions become machine code after their helpers are linked into them (jit/compiler.py).
Its passes for what semantics do not use (lifted loops, closures, parallel loops, object mode) are left out, too.
"""

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import llvmlite.binding as llvm
from numba import njit, types
from numba.core import compiler, typed_passes, untyped_passes
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.extending import _Intrinsic

PASSES = (
    untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants, untyped_passes.DeadBranchPrune, untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA, typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization, typed_passes.NativeLowering,
)
OPERATORS = {getattr(operator, name) for name in (
    "add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor", "lshift", "rshift", "neg", "invert", "not_",
    "eq", "ne", "lt", "le", "gt", "ge")}
INTEGERS = types.Integer, types.Boolean


class Library(CPUCodeLibrary):
    """The module of one function, and the libraries of those it calls."""

    _shared_module: llvm.ModuleRef | None

    def _optimize_functions(self, ll_module: llvm.ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Nothing is linked before the whole is asked for."""
        self._finalized = True

    def _callees(self, seen: set[Any]) -> list[Any]:
        """The libraries of everything that the function calls, a callee always before its callers."""
        found = []
        for library in self._linking_libraries:
            if library not in seen:
                seen.add(library)
                found += library._callees(seen) if isinstance(library, Library) else []
                found.append(library)
        return found

    def _shareable(self) -> llvm.ModuleRef:
        if self._shared_module is None:
            self._shared_module = self._final_module.clone()
            for function in self._shared_module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.external:
                    function.linkage = "linkonce_odr"
        return self._shared_module

    def _linked(self, module: llvm.ModuleRef) -> llvm.ModuleRef:
        whole = module.clone()
        for library in reversed(self._callees({self})):     # LLVM leaves out what nothing refers to yet
            own = isinstance(library, Library)
            whole.link_in(library._shareable() if own else library._get_module_for_linking(), preserve=True)
        return whole

    def linked(self) -> llvm.ModuleRef:
        """A module of the function and everything it calls."""
        return self._linked(self._final_module)

    def _get_module_for_linking(self) -> llvm.ModuleRef:
        """What numba links into a function that it compiles for itself."""
        return self._linked(self._shareable())


class _Typing:
    """Numba's typing context, which asks for the type of a call of the same function with the same types only once.

    Numba tries all templates of an operator, numpy's among them, each time that it sees one; and each literal is a
    type of its own there, which no operator on integers looks at.
    """

    calls: ClassVar[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def resolve_function_type(self, function: Any, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """Numba's interface: the signature of a call."""
        name = getattr(function, "typing_key", None)
        plain = tuple(types.unliteral(a) for a in args)
        if isinstance(name, _Intrinsic) or name in OPERATORS and all(isinstance(a, INTEGERS) for a in plain):
            args = plain
        key = function, args, tuple(kws.items())
        found = self.calls.get(key)
        if found is None:
            found = self.calls[key] = self.context.resolve_function_type(function, args, kws)
        return found


class _Entry:
    """What stands for a function's entry point, by which numba finds the function's library when another calls it."""


@register_pass(mutates_CFG=False, analysis_only=False)
class _Announce(LoweringPass):
    """Make the lowered function known to its callers, as numba does once it has emitted machine code."""

    _name = "strata_announce"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Numba's interface of a pass: whether the state has changed."""
        entry = _Entry()
        state.targetctx.insert_user_function(entry, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=entry)
        return True


class Linkable(compiler.CompilerBase):
    """The pipeline of a function that is only linked into others."""

    def define_pipelines(self) -> list[PassManager]:
        """Numba's interface: the passes in their order."""
        state = self.state
        state.flags.no_compile = True
        state.typingctx = _Typing(state.typingctx)
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = PassManager("strata")
        for one in (*PASSES, _Announce, typed_passes.NoPythonBackend):
            passes.add_pass(one, "")
        passes.finalize()
        return [passes]


def linkable(function: Callable[..., Any], no_cfunc_wrapper: bool = True) -> Any:
    """Numba's dispatcher of a function that others link; with a wrapper of the C calling convention, if asked."""
    dispatcher = njit(pipeline_class=Linkable, boundscheck=False, error_model="numpy", no_cpython_wrapper=True,
                      no_cfunc_wrapper=no_cfunc_wrapper)(function)
    # Python never calls it, so numba's table of machine code by argument types stays empty.
    dispatcher.add_overload = lambda made: dispatcher.overloads.update({tuple(made.signature.args): made})
    return dispatcher
