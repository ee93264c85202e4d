"""The block compiler: hot micro-ops of one code page become one native function.

A region is a set of blocks linked by direct branches, calls and the returns to those calls. Its function is threaded
code (jit/threaded.py): it replaces the handler of the micro-ops at which it may be entered, and leaves by a tail call
to the interpreter's handler of the micro-op that has to go on. Inside, the handlers' LLVM bitcode is linked with
constant operands and inlined over a copy of the hot part of the state, which LLVM then keeps in host registers.

Only fast paths are inside: whatever a handler cannot finish leaves with the state as of before its micro-op.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir

from jit import exits, layout, uops
from jit.compiler import Compiler
from jit.region_calls import define_slow_paths, field_of
from jit.region_object import RegionProcess, emit
from jit.region_view import VIEW_END
from jit.registry import COND, JUMP, PLAIN
from jit.semantics.wiring import PROBE_ANYWHERE, PROBE_ENTRY, PROBE_EQUAL, PROBE_FILE, PROBE_LINEAR, PROBE_VIRTUAL
from jit.threaded import HANDLER_TYPE, I8, I16, I32, I64, PTR, THREAD_TYPE, Wrapper

MAX_BLOCKS, MAX_UOPS = 48, 500
PROBE_OF_FILE, PROBE_AT_ENTRY = f"probe.{PROBE_ANYWHERE}.{PROBE_FILE}", f"probe.{PROBE_ENTRY}.{PROBE_FILE}"
PROBES_FOR_EQUALITY = {f"probe.{where}.{PROBE_EQUAL}" for where in (PROBE_LINEAR, PROBE_VIRTUAL, PROBE_ANYWHERE)}
JUMP_CACHED = "fn.jump_cached"
FAST_PATHS = ("region_load", "region_store", "region_probe")    # jit/region_access.py; the vector ones are compiled
                                                                # with the micro-ops that need them


class Uop(NamedTuple):
    """A micro-op record as read when the region was chosen."""

    address: int
    name: str
    imm: int
    d: int
    a: int
    b: int
    offset: int
    length: int
    target: int
    follows: int
    rem: int


class Block(NamedTuple):
    """Micro-ops up to a branch, a micro-op that cannot be compiled (`open_end`), or the next block's start."""

    uops: list[Uop]
    falls_into: int         # address of the block it runs into, or 0
    open_end: bool


class Plan(NamedTuple):
    """What to compile: blocks by address, the addresses at which the region may be entered, where calls return."""

    head: int
    blocks: dict[int, Block]
    entries: list[int]
    returns: dict[int, int]     # page offset -> block address


def read_uop(compiler: Compiler, address: int) -> Uop:
    """The record at an address."""
    raw = ctypes.string_at(address, uops.SIZE)

    def field(offset: int, size: int) -> int:
        return int.from_bytes(raw[offset:offset + size], "little")
    return Uop(address, compiler.names[field(uops.OP, 4)], field(uops.IMM, 8), field(uops.D, 4), field(uops.A, 4),
               field(uops.B, 4), field(uops.OFFSET, 2), field(uops.LENGTH, 1), field(uops.TARGET, 8),
               field(uops.NEXT, 8), field(uops.REM, 4))


def fits(compiler: Compiler, uop: Uop) -> bool:
    """Whether a region may contain the micro-op: what it writes lies in the part of the state that is copied out."""
    if uop.name == PROBE_OF_FILE:
        compiler.op_id(PROBE_AT_ENTRY)
        return compiler.compilable(PROBE_AT_ENTRY)
    return compiler.compilable(uop.name) and (uop.d < layout.HOT_END or not compiler.names_slot(uop.name))


class Planner:
    """Chooses the blocks of a region around a hot micro-op, and around `others` where there are more to begin with.
    `table` gives a record's address, or 0, by page offset."""

    def __init__(self, compiler: Compiler, head: int, table: ctypes.Array[ctypes.c_uint64],
                 others: Sequence[int] = ()) -> None:
        self.compiler, self.head, self.table, self.others = compiler, head, table, others
        self.raw: dict[int, list[Uop]] = {}
        self.returns: dict[int, int] = {}

    def plan(self) -> Plan | None:
        """The plan, or None when the hot micro-op itself cannot be compiled."""
        waiting, size = [self.head, *self.others], 0
        while waiting and len(self.raw) < MAX_BLOCKS and size < MAX_UOPS:
            start = waiting.pop(0)
            if start in self.raw:
                continue
            block = self._read_block(start)
            self.raw[start] = block
            size += len(block)
            waiting += self._successors(block[-1])
        blocks = self._split()
        if not blocks[self.head].uops:
            return None
        self.returns = {offset: at for offset, at in self.returns.items() if at in blocks}
        # Every block, since a slice may end before any of them.
        entries = [self.head, *(at for at in blocks if at != self.head and blocks[at].uops)]
        return Plan(self.head, blocks, entries, self.returns)

    def _read_block(self, start: int) -> list[Uop]:
        block = []
        at = start
        while True:
            uop = read_uop(self.compiler, at)
            block.append(uop)
            if self.compiler.bitcode(uop.name).kind != PLAIN or not fits(self.compiler, uop):
                return block
            at += uops.SIZE

    def _successors(self, last: Uop) -> list[int]:
        if not fits(self.compiler, last):
            return []
        found = [at for at in (last.target, last.follows) if at]
        if last.name.startswith("call"):
            offset = last.offset + last.length
            if offset < 4096 and self.table[offset]:
                self.returns[offset] = self.table[offset]
                found.append(self.table[offset])
        return found

    def _split(self) -> dict[int, Block]:
        """Blocks that overlap because one starts inside another share the tail."""
        blocks = {}
        for start, raw in self.raw.items():
            kept: list[Uop] = []
            falls_into = 0
            open_end = False
            for uop in raw:
                if uop.address != start and uop.address in self.raw:
                    falls_into = uop.address
                    break
                if not fits(self.compiler, uop):
                    open_end = True
                    kept.append(uop)
                    break
                kept.append(uop)
            if start == self.head and open_end and len(kept) == 1:
                kept = []
            blocks[start] = Block(kept, falls_into, open_end)
        return blocks


class RegionBuilder(Wrapper):
    """Builds the LLVM module of one region."""

    def __init__(self, compiler: Compiler, plan: Plan, symbol: str) -> None:
        super().__init__(symbol)
        self.compiler, self.plan = compiler, plan
        self.handlers: dict[str, ir.Function] = {}
        self.labels = {at: self.function.append_basic_block(f"block{n}") for n, at in enumerate(plan.blocks)}
        self.interpret = self.function.append_basic_block("interpret")      # go on at `at` in the interpreter
        self.transfer = self.function.append_basic_block("transfer")        # go to the block at `at`, not yet charged
        self.dynamic = self.function.append_basic_block("dynamic")          # go to the block at RIP

    def text(self) -> str:
        """The module's assembly."""
        b = self.b
        self.local = b.alloca(ir.ArrayType(I8, layout.STATE_BYTES))
        self.local.align = 8
        self.copy = b.bitcast(self.local, PTR)
        self.left_at = b.alloca(I64)
        self.at = b.alloca(I64)
        b.store(self.left, self.left_at)
        b.store(I64(0), self.at)
        self._copy_state(self.copy, self.state, VIEW_END)
        b.store(I64(0), self._word(self.copy, layout.ZERO))     # what it is anyway: now LLVM knows immediates, too
        self._probe_once()
        entry = b.switch(b.ptrtoint(self.uop, I64), self.labels[self.plan.head])
        for address in self.plan.entries[1:]:
            entry.add_case(I64(address), self.labels[address])
        for address, block in self.plan.blocks.items():
            b.position_at_end(self.labels[address])
            self._block(block)
        self._leave()
        define_slow_paths(self.module, self._before_fill)
        return str(self.module)

    def _probe_once(self) -> None:
        """What a debugger asks of registers outside the part of the state that is copied is asked where the region is
        entered: nothing in it changes them."""
        for probe in {uop.imm: uop for block in self.plan.blocks.values() for uop in block.uops
                      if uop.name == PROBE_OF_FILE}.values():
            b = self.b
            b.store(b.ptrtoint(self.uop, I64), self.at)
            status = b.call(self._handler(PROBE_AT_ENTRY), [self.copy, *(
                I64(v) for v in (probe.d, probe.a, probe.b, probe.imm))])
            go_on = self._fresh()
            b.cbranch(b.icmp_unsigned("==", status, I64(exits.OK)), go_on, self.interpret).set_weights([64, 1])
            b.position_at_end(go_on)

    def _before_fill(self, b: ir.IRBuilder, function: ir.Function, access: str) -> None:
        """What there is to try inline on a TLB miss before a call."""

    def _copy_state(self, to: ir.Value, origin: ir.Value, size: int) -> None:
        copy = self.module.declare_intrinsic("llvm.memcpy", [PTR, PTR, I64])
        self.b.call(copy, [to, origin, I64(size), ir.IntType(1)(0)])

    def _word(self, base: ir.Value, offset: int) -> ir.Value:
        return field_of(self.b, base, offset)

    def _handler(self, name: str) -> ir.Function:
        if name not in self.handlers:
            self.handlers[name] = ir.Function(self.module, HANDLER_TYPE, name=self.compiler.bitcode(name).body)
        return self.handlers[name]

    def _go_to(self, where: ir.Block, address: int) -> None:
        # Nothing, so that the block stays: what only leaving needs is then computed there (Compiler.optimise).
        self.b.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], side_effect=True)
        self.b.store(I64(address), self.at)
        self.b.branch(where)

    def _fresh(self) -> ir.Block:
        return self.function.append_basic_block()

    def _exit(self, uop: Uop) -> ir.Block:
        """A block that leaves to the interpreter at a micro-op."""
        block = self._fresh()
        with self.b.goto_block(block):
            self._go_to(self.interpret, uop.address)
        return block

    def _block(self, block: Block) -> None:
        b = self.b
        for uop in block.uops:
            if uop.name == PROBE_OF_FILE:
                continue
            if not fits(self.compiler, uop):
                self._go_to(self.interpret, uop.address)
                return
            if uop.name in PROBES_FOR_EQUALITY:
                self._unless_equal(uop)
                continue
            status = b.call(self._handler(uop.name), [self.copy, *(I64(v) for v in (uop.d, uop.a, uop.b, uop.imm))])
            kind = self.compiler.bitcode(uop.name).kind
            if kind == COND:
                taken, fall = self._fresh(), self._fresh()
                choice = b.switch(status, self._exit(uop))
                choice.add_case(I64(exits.OK), fall)
                choice.add_case(I64(exits.TAKEN), taken)
                b.position_at_end(taken)
                self._edge(uop.target)
                b.position_at_end(fall)
                if not uop.follows:
                    self._set_rip(I64(uop.offset + uop.length))
                self._edge(uop.follows)
                return
            stay = self._fresh()
            branch = b.cbranch(b.icmp_unsigned("==", status, I64(exits.OK)), stay, self._exit(uop))
            branch.set_weights([64, 1])
            b.position_at_end(stay)
            if kind == JUMP:
                if uop.target:
                    self._edge(uop.target)
                else:
                    self._return_edge()
                return
        b.branch(self.labels[block.falls_into])

    def _unless_equal(self, uop: Uop) -> None:
        """A breakpoint's test for equality: where the lower halves are equal the interpreter looks at the rest, since
        all that could follow would cost the region registers."""
        b, go_on = self.b, self._fresh()
        lower = b.trunc(b.load(self._word(self.copy, uop.a)), I32)
        b.cbranch(b.icmp_unsigned("!=", lower, I32(uop.b)), go_on, self._exit(uop)).set_weights([64, 1])
        b.position_at_end(go_on)

    def _set_rip(self, offset: ir.Value) -> None:
        """RIP of a page offset (jit/run.py uop_rip, fall_through)."""
        b = self.b
        rip = b.add(b.load(self._word(self.copy, layout.PAGE_RIP)), offset)
        mode = b.and_(b.load(self._word(self.state, layout.MODE)), I64(3))
        wide = b.icmp_unsigned("==", mode, I64(layout.MODE_64))
        b.store(b.select(wide, rip, b.and_(rip, I64(0xFFFFFFFF))), self._word(self.copy, layout.RIP))

    def _edge(self, target: int) -> None:
        """Control goes to the block at `target`, or to the one at RIP where that is 0. Otherwise nothing in the region
        needs RIP: it is set where control leaves."""
        b = self.b
        if not target:
            b.branch(self.dynamic)
            return
        b.store(I64(0), self._word(self.copy, layout.RIP))
        if target not in self.labels:
            self._go_to(self.transfer, target)
            return
        rem = read_uop(self.compiler, target).rem if target not in self.plan.blocks else \
            self.plan.blocks[target].uops[0].rem
        left = b.sub(b.load(self.left_at), I64(rem))
        short, enough = self._fresh(), self._fresh()
        branch = b.cbranch(b.icmp_signed("<", left, I64(0)), short, enough)
        branch.set_weights([1, 64])
        b.position_at_end(short)
        self._go_to(self.transfer, target)
        b.position_at_end(enough)
        b.store(left, self.left_at)
        b.branch(self.labels[target])

    def _return_edge(self) -> None:
        """A dynamic target: one of the region's own return points, or anywhere."""
        b = self.b
        if not self.plan.returns:
            b.branch(self.dynamic)
            return
        offset = b.sub(b.load(self._word(self.copy, layout.RIP)), b.load(self._word(self.copy, layout.PAGE_RIP)))
        choice = b.switch(offset, self.dynamic)
        for page_offset, address in self.plan.returns.items():
            back = self._fresh()
            choice.add_case(I64(page_offset), back)
            b.position_at_end(back)
            self._edge(address)

    def _copy_out(self) -> ir.Value:
        self._copy_state(self.state, self.copy, layout.HOT_END)
        self.left = self.b.load(self.left_at)
        return self.b.load(self.at)

    def _copy_out_with_rip(self) -> ir.Value:
        at = self.b.inttoptr(self.b.load(self.at), PTR)
        self._set_rip(self.field(uops.OFFSET, I16, at))
        return self._copy_out()

    def _leave(self) -> None:
        b = self.b
        b.position_at_end(self.interpret)
        at = b.inttoptr(self._copy_out_with_rip(), PTR)
        table = I64(self.compiler.table_address)
        slot = b.add(table, b.shl(self.field(uops.OP, I32, at), I64(3)))
        code = b.load(b.inttoptr(slot, THREAD_TYPE.as_pointer().as_pointer()))
        b.ret(b.call(code, [self.state, at, self.left], tail="musttail"))
        b.position_at_end(self.transfer)
        self.enter_block(self._copy_out_with_rip())
        b.position_at_end(self.dynamic)
        self._copy_out()
        self.uop = b.inttoptr(I64(self.plan.head), PTR)
        self.by_rip()


def handlers(plan: Plan) -> set[str]:
    """Cache keys of the functions whose bitcode a region needs, or that say whether it may have a micro-op."""
    names = {uop.name for block in plan.blocks.values() for uop in block.uops}
    if PROBE_OF_FILE in names:
        names.add(PROBE_AT_ENTRY)
    return {JUMP_CACHED, *("op." + name for name in names)}


def compile_region(compiler: Compiler, plan: Plan, symbol: str, kind: type[RegionBuilder] = RegionBuilder,
                   process: RegionProcess | None = None) -> bytes:
    """Object code of a region that defines `symbol`; `process` makes it, if it can. Runs on any thread. EOFError: the
    process was closed."""
    if process is not None:
        made = process.compile(plan, symbol, kind, handlers(plan))
        if made is not None:
            return made
    builder = kind(compiler, plan, symbol)
    text = builder.text()
    parts = [compiler.bitcode(name).bitcode for name in builder.handlers]
    parts.append(compiler.compiled[JUMP_CACHED].bitcode)
    return emit(compiler, text, parts, symbol)
