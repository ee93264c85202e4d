"""What the handlers inside a region call on a TLB miss: the functions of jit/region_access.py.

They are called with the real state, so that the address of the region's copy stays in the region and LLVM may keep the
copy in host registers; and in a way that leaves those registers alone, so that a fast path need not put anything away.
"""

from collections.abc import Callable

from llvmlite import ir

from jit import exits, layout
from jit.threaded import I64, PTR

KEEPING = "preserve_mostcc"         # calling convention: all registers are kept but two and the vector registers
_ACCESS, _VECTOR = ir.FunctionType(I64, [PTR, I64, I64]), ir.FunctionType(I64, [PTR, I64, I64, I64])


def field_of(b: ir.IRBuilder, state: ir.Value, offset: int) -> ir.Value:
    """Pointer to a word of a register file."""
    return b.bitcast(b.gep(state, [I64(offset)]), I64.as_pointer())


def define_slow_paths(module: ir.Module, before: Callable[[ir.IRBuilder, ir.Function, str], None]) -> None:
    """Give the names that handlers call on a TLB miss the region's meaning. `before` builds what is tried first."""
    for access in ("load", "store", "probe", "loadv", "storev"):
        kind = _VECTOR if access.endswith("v") else _ACCESS
        function = ir.Function(module, kind, name=f"strata_slow_{access}")
        b = ir.IRBuilder(function.append_basic_block())
        before(b, function, access)
        copy, *arguments = function.args
        real = b.inttoptr(b.load(field_of(b, copy, layout.SELF)), PTR)
        copied, actual = (field_of(b, state, layout.SLOW_VALUE) for state in (copy, real))
        if access == "store":
            b.store(b.load(copied), actual)
        status = b.call(_keeping(module, kind, access), [real, *arguments], cconv=KEEPING)
        if access == "load":
            b.store(b.load(actual), copied)
        b.ret(status)
    track = ir.Function(module, _ACCESS, name="strata_slow_track")      # the interpreter looks
    ir.IRBuilder(track.append_basic_block()).ret(I64(exits.AGAIN))


def _keeping(module: ir.Module, kind: ir.FunctionType, access: str) -> ir.Function:
    """A function that calls that of jit/region_access.py and keeps registers."""
    kept = ir.Function(module, kind, name=f"kept_{access}")
    kept.calling_convention = KEEPING
    for attribute in ("cold", "noinline", "nounwind"):
        kept.attributes.add(attribute)
    b = ir.IRBuilder(kept.append_basic_block())
    b.ret(b.call(ir.Function(module, kind, name=f"strata_region_{access}"), kept.args))
    return kept
