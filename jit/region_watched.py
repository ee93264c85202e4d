"""Regions for guests with watchpoints: accesses beside them, on the same page, stay in the region's own code.

On a TLB miss, before anything is called, the entry's tag is looked at once more: of a page with watchpoints it has
TLB_WATCHED, and the access may be made if it is not near a line with one. This is `beside` of jit/access.py, built here
since it has to work on the region's copy of the state; other regions are spared its code.
"""

from llvmlite import ir

from jit import exits, layout
from jit.region import RegionBuilder
from jit.region_calls import field_of
from jit.threaded import I64, PTR

SIZES = (1, 2, 4, 8)
INDEX_MASK, PAGE_MASK = layout.DATA_ENTRIES - 1, -4096
OPMASKED = ~0xFFF               # flags of jit/vector_access.py that name an opmask


class WatchedRegionBuilder(RegionBuilder):
    """Builds such a region."""

    def _before_fill(self, b: ir.IRBuilder, function: ir.Function, access: str) -> None:
        copy, linear, flags, *buffer = function.args
        size = b.and_(flags, I64(0xFF))
        base = b.load(field_of(b, copy, layout.TLB))
        index = b.and_(b.lshr(linear, I64(12)), I64(INDEX_MASK))
        entry = b.add(base, b.shl(index, I64(layout.DATA_SHIFT)))
        tag = layout.TLB_READ if access.startswith("load") else layout.TLB_WRITE
        last = b.add(linear, b.sub(size, I64(1)))
        wanted = b.or_(b.and_(last, I64(PAGE_MASK)), I64(layout.TLB_WATCHED))
        other = function.append_basic_block()

        def go_on_if_zero(value: ir.Value) -> None:
            more = function.append_basic_block()
            b.cbranch(b.icmp_unsigned("==", value, I64(0)), more, other).set_weights([64, 1])
            b.position_at_end(more)
        go_on_if_zero(b.xor(self._word_at(b, entry, tag), wanted))
        if access != "probe":           # the store that it asks for looks at the lines itself
            lines = self._word_at(b, entry, layout.TLB_LINES)
            go_on_if_zero(b.and_(b.lshr(lines, b.and_(b.lshr(linear, I64(layout.LINE_SHIFT)), I64(63))), I64(1)))
        if access.endswith("v"):
            go_on_if_zero(b.and_(flags, I64(OPMASKED)))
        host = b.add(linear, self._word_at(b, entry, layout.TLB_ADDEND))
        if access == "probe":
            b.ret(I64(exits.OK))
        elif access.endswith("v"):
            self._move(b, host, buffer[0], size, to_guest=access == "storev")
        else:
            self._by_size(b, function, access, copy, host, size)
        b.position_at_end(other)

    @staticmethod
    def _word_at(b: ir.IRBuilder, address: ir.Value, offset: int) -> ir.Value:
        return b.load(b.inttoptr(b.add(address, I64(offset)), I64.as_pointer()))

    def _move(self, b: ir.IRBuilder, host: ir.Value, buffer: ir.Value, size: ir.Value, to_guest: bool) -> None:
        copy = self.module.declare_intrinsic("llvm.memcpy", [PTR, PTR, I64])
        guest, own = b.inttoptr(host, PTR), b.inttoptr(buffer, PTR)
        b.call(copy, [guest, own, size, ir.IntType(1)(0)] if to_guest else [own, guest, size, ir.IntType(1)(0)])
        b.ret(I64(exits.OK))

    def _by_size(self, b: ir.IRBuilder, function: ir.Function, access: str, copy: ir.Value, host: ir.Value,
                 size: ir.Value) -> None:
        """The size is a constant once this is inlined, so one case is left."""
        value_at = field_of(b, copy, layout.SLOW_VALUE)
        unknown = function.append_basic_block()
        choice = b.switch(size, unknown)
        for each in SIZES:
            block = function.append_basic_block()
            choice.add_case(I64(each), block)
            kind = ir.IntType(8 * each)
            with b.goto_block(block):
                place = b.inttoptr(host, kind.as_pointer())
                if access == "load":
                    found = b.load(place)
                    found.align = 1
                    b.store(b.zext(found, I64) if each < 8 else found, value_at)
                else:
                    value = b.load(value_at)
                    made = b.store(b.trunc(value, kind) if each < 8 else value, place)
                    made.align = 1
                b.ret(I64(exits.OK))
        b.position_at_end(unknown)
        b.unreachable()
