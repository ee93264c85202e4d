"""The threaded interpreter: one native function per micro-op, each ending in a tail call to the next.

The wrapper around a handler loads the operand words from the micro-op record, calls the (inlined) handler, and goes
on by the op's kind (jit/registry.py). Instructions are counted a block at a time: `left` is the budget after the
current block completes, so on leaving at micro-op u the instructions not yet executed are `left + u.REM`.

    i64 wrapper(state*, uop*, i64 left) -> left        EXIT and EXIT_UOP in the state say why and where
"""

from llvmlite import ir

from jit import exits, layout, uops
from jit.registry import COND, END, JUMP, PLAIN, REP

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
PTR = I8.as_pointer()
HANDLER_TYPE = ir.FunctionType(I64, [PTR, I64, I64, I64, I64])
THREAD_TYPE = ir.FunctionType(I64, [PTR, PTR, I64])
JUMP_CACHED_TYPE = ir.FunctionType(I64, [PTR])
FALL_THROUGH_TYPE = ir.FunctionType(ir.VoidType(), [PTR, I64])


class Wrapper:
    """Builds the module of one wrapper."""

    def __init__(self, symbol: str) -> None:
        self.module = ir.Module(name=symbol)
        self.function = ir.Function(self.module, THREAD_TYPE, name=symbol)
        self.state, self.uop, self.left = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block())

    def field(self, offset: int | ir.Value, kind: ir.IntType = I64, of: ir.Value | None = None) -> ir.Value:
        """A field of a micro-op record, as i64."""
        at = I64(offset) if isinstance(offset, int) else offset
        address = self.b.gep(self.uop if of is None else of, [at])
        value = self.b.load(self.b.bitcast(address, kind.as_pointer()))
        return value if kind is I64 else self.b.zext(value, I64)

    def set_state(self, offset: int, value: ir.Value) -> None:
        self.b.store(value, self.b.bitcast(self.b.gep(self.state, [I64(offset)]), I64.as_pointer()))

    def get_state(self, offset: int) -> ir.Value:
        return self.b.load(self.b.bitcast(self.b.gep(self.state, [I64(offset)]), I64.as_pointer()))

    def leave(self, status: ir.Value, at: ir.Value, left: ir.Value) -> None:
        """Return to the run loop with EXIT = status at micro-op `at`."""
        self.set_state(layout.EXIT, status)
        self.set_state(layout.EXIT_UOP, self.b.ptrtoint(at, I64))
        self.b.ret(left)

    def go(self, uop: ir.Value, left: ir.Value) -> None:
        """Tail-call the micro-op."""
        code = self.b.load(self.b.bitcast(uop, THREAD_TYPE.as_pointer().as_pointer()))
        self.b.ret(self.b.call(code, [self.state, uop, left], tail="musttail"))

    def branch_if(self, condition: ir.Value, likely: bool = False) -> tuple[ir.Block, ir.Block]:
        yes, no = self.function.append_basic_block(), self.function.append_basic_block()
        branch = self.b.cbranch(condition, yes, no)
        branch.set_weights([64, 1] if likely else [1, 64])
        return yes, no

    def enter_block(self, address: ir.Value) -> None:
        """Go to the micro-op at an address (i64), which starts a block: charge the block to the budget."""
        target = self.b.inttoptr(address, PTR)
        left = self.b.sub(self.left, self.field(uops.REM, I32, target))
        short, enough = self.branch_if(self.b.icmp_signed("<", left, I64(0)))
        self.b.position_at_end(short)
        self.leave(I64(exits.BUDGET), target, self.left)
        self.b.position_at_end(enough)
        self.go(target, left)

    def by_rip(self) -> None:
        """Go to the block at RIP if the jump cache knows it, else ask the run loop."""
        found = self.b.call(ir.Function(self.module, JUMP_CACHED_TYPE, name="strata_jump_cached"), [self.state])
        hit, miss = self.branch_if(self.b.icmp_unsigned("!=", found, I64(0)), likely=True)
        self.b.position_at_end(miss)
        self.leave(I64(exits.LOOKUP), self.uop, self.left)
        self.b.position_at_end(hit)
        self.enter_block(found)

    def build(self, body: str, kind: str) -> ir.Module:
        """The whole wrapper around the handler `body`."""
        b = self.b
        fall_through = ir.Function(self.module, FALL_THROUGH_TYPE, name="strata_fall_through")
        here = b.ptrtoint(self.uop, I64)
        if kind == END:
            b.call(fall_through, [self.state, here])
        if kind == REP:
            self.set_state(layout.REP_LEFT, self.left)
        handler = ir.Function(self.module, HANDLER_TYPE, name=body)
        operands = [self.field(o, I32) for o in (uops.D, uops.A, uops.B)]
        status = b.call(handler, [self.state, *operands, self.field(uops.IMM)])
        if kind in (COND, REP):
            fault, fine = self.branch_if(b.icmp_unsigned(">", status, I64(exits.TAKEN)))
        else:
            fault, fine = self.branch_if(b.icmp_unsigned("!=", status, I64(exits.OK)))
        b.position_at_end(fault)
        self.leave(status, self.uop, self.left)
        b.position_at_end(fine)
        if kind == REP:
            self.left = self.get_state(layout.REP_LEFT)
        if kind == PLAIN:
            self.go(b.gep(self.uop, [I64(uops.SIZE)]), self.left)
        elif kind == END:
            self.leave(I64(exits.LOOKUP), self.uop, self.left)
        elif kind == JUMP:
            target = self.field(uops.TARGET)
            linked, dynamic = self.branch_if(b.icmp_unsigned("!=", target, I64(0)), likely=True)
            b.position_at_end(linked)
            self.enter_block(target)
            b.position_at_end(dynamic)
            self.by_rip()
        elif kind in (COND, REP):
            taken = b.icmp_unsigned("==", status, I64(exits.TAKEN))
            target = self.field(b.select(taken, I64(uops.TARGET), I64(uops.NEXT)))
            linked, dynamic = self.branch_if(b.icmp_unsigned("!=", target, I64(0)), likely=True)
            b.position_at_end(linked)
            self.enter_block(target)
            b.position_at_end(dynamic)
            fall, by_rip = self.function.append_basic_block(), self.function.append_basic_block()
            b.cbranch(taken, by_rip, fall)
            b.position_at_end(fall)
            b.call(fall_through, [self.state, here])
            b.branch(by_rip)
            b.position_at_end(by_rip)
            self.by_rip()
        return self.module


def build_exit(symbol: str, status: int) -> ir.Module:
    """A micro-op that only leaves with `status`: stops and stale code."""
    wrapper = Wrapper(symbol)
    wrapper.leave(I64(status), wrapper.uop, wrapper.left)
    return wrapper.module
