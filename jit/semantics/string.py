"""String instructions (SDM Vol. 2: MOVS, STOS, LODS, SCAS, CMPS, REP/REPE/REPNE; Vol. 1 7.3.9).

Operand `a` names the source's segment: its number outside 64-bit mode, the slot of its base in 64-bit mode (ZERO for
none). The destination is always in ES. Variants are the element width and the address size; "long32" is a 32-bit
address size in 64-bit mode.

A repeated instruction is a micro-op of kind REP that does one iteration and goes back to itself, so it can be
interrupted between any two. Forward MOVS and STOS do all iterations at once that stay in the pages at hand, if
those pages are plain memory, and in the budget, which each iteration counts against.
"""

from jit.access import PAGE, PAGE_MASK, data_entry, load, load_host, store, store_host
from jit.exits import OK, TAKEN
from jit.flags import DF, set_sub, sign_extend
from jit.layout import ES, REP_LEFT, RFL, TLB_ADDEND, TLB_READ, TLB_WRITE, ZERO, gpr
from jit.native import Handler, State, inline, ld64, memmove, memset, rd64, udiv, ult, wr64
from jit.registry import REP, op
from jit.semantics.operands import WIDTHS, read, truncate, write
from jit.semantics.segmentation import READ, WRITE, linear_address

RAX, RCX, RSI, RDI = gpr(0), gpr(1), gpr(6), gpr(7)
ADDRESSES = (16, 32, "long32", 64)
VARIANTS = tuple((w, a) for w in WIDTHS for a in ADDRESSES)


def split(address: int) -> tuple[int, bool]:
    """(address size in bits, whether in 64-bit mode) of an address variant."""
    return (32 if address == "long32" else address), address in ("long32", 64)


@inline
def element(st: State, segment: int, offset: int, size: int, access: int, long: int) -> tuple[int, int]:
    """(linear address, status) of `size` bytes at an offset."""
    if long:
        return rd64(st, segment) + offset, OK
    return linear_address(st, segment, offset, size, access)


@inline
def load_source(st: State, segment: int, size: int, bits: int, long: int) -> tuple[int, int]:
    linear, status = element(st, segment, read(st, RSI, bits), size, READ, long)
    if status != OK:
        return 0, status
    return load(st, linear, size, 0)


@inline
def load_destination(st: State, size: int, bits: int, long: int) -> tuple[int, int]:
    linear, status = element(st, ZERO if long else ES, read(st, RDI, bits), size, READ, long)
    if status != OK:
        return 0, status
    return load(st, linear, size, 0)


@inline
def store_destination(st: State, size: int, bits: int, long: int, value: int) -> int:
    linear, status = element(st, ZERO if long else ES, read(st, RDI, bits), size, WRITE, long)
    if status != OK:
        return status
    return store(st, linear, size, 0, value)


@inline
def advance(st: State, register: int, size: int, bits: int) -> None:
    step = -size if rd64(st, RFL) & DF else size
    write(st, register, bits, read(st, register, bits) + step)


@inline
def movs_once(st: State, segment: int, size: int, bits: int, long: int) -> int:
    value, status = load_source(st, segment, size, bits, long)
    if status != OK:
        return status
    status = store_destination(st, size, bits, long, value)
    if status == OK:
        advance(st, RSI, size, bits)
        advance(st, RDI, size, bits)
    return status


@inline
def stos_once(st: State, size: int, bits: int, long: int) -> int:
    status = store_destination(st, size, bits, long, rd64(st, RAX))
    if status == OK:
        advance(st, RDI, size, bits)
    return status


@inline
def lods_once(st: State, segment: int, size: int, bits: int, long: int) -> int:
    value, status = load_source(st, segment, size, bits, long)
    if status == OK:
        write(st, RAX, 8 * size, value)
        advance(st, RSI, size, bits)
    return status


@inline
def compare(st: State, x: int, y: int, width: int) -> None:
    r = x - y
    set_sub(st, x, y, r, sign_extend(r, width), width)


@inline
def scas_operands(st: State, size: int, bits: int, long: int) -> tuple[int, int, int]:
    """(accumulator, element, status) of SCAS."""
    value, status = load_destination(st, size, bits, long)
    return read(st, RAX, 8 * size), value, status


@inline
def cmps_operands(st: State, segment: int, size: int, bits: int, long: int) -> tuple[int, int, int]:
    """(source element, destination element, status) of CMPS."""
    y, status = load_destination(st, size, bits, long)
    if status != OK:
        return 0, 0, status
    x, status = load_source(st, segment, size, bits, long)
    return x, y, status


@op("movs", *VARIANTS)
def movs(width: int, address: int) -> Handler:
    bits, long = split(address)

    def movs(st: State, d: int, a: int, b: int, imm: int) -> int:
        return movs_once(st, a, width // 8, bits, long)
    return movs


@op("stos", *VARIANTS)
def stos(width: int, address: int) -> Handler:
    bits, long = split(address)

    def stos(st: State, d: int, a: int, b: int, imm: int) -> int:
        return stos_once(st, width // 8, bits, long)
    return stos


@op("lods", *VARIANTS)
def lods(width: int, address: int) -> Handler:
    bits, long = split(address)

    def lods(st: State, d: int, a: int, b: int, imm: int) -> int:
        return lods_once(st, a, width // 8, bits, long)
    return lods


@op("scas", *VARIANTS)
def scas(width: int, address: int) -> Handler:
    bits, long = split(address)

    def scas(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y, status = scas_operands(st, width // 8, bits, long)
        if status == OK:
            compare(st, x, y, width)
            advance(st, RDI, width // 8, bits)
        return status
    return scas


@op("cmps", *VARIANTS)
def cmps(width: int, address: int) -> Handler:
    bits, long = split(address)

    def cmps(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y, status = cmps_operands(st, a, width // 8, bits, long)
        if status == OK:
            compare(st, x, y, width)
            advance(st, RSI, width // 8, bits)
            advance(st, RDI, width // 8, bits)
        return status
    return cmps


# --- repetition ------------------------------------------------------------------------------------------------------


@inline
def no_iteration(st: State, bits: int, source: int, destination: int) -> int:
    """A count of 0. With a 32-bit address size the upper half of RCX is cleared all the same, and those of the given
    pointers: MOVS and STOS do that, the others leave them alone."""
    write(st, RCX, bits, 0)
    if source:
        write(st, RSI, bits, read(st, RSI, bits))
    if destination:
        write(st, RDI, bits, read(st, RDI, bits))
    return OK


@inline
def count_down(st: State, count: int, bits: int) -> int:
    """After an iteration: whether there are more."""
    write(st, RCX, bits, count - 1)
    return TAKEN if count != 1 else OK


@inline
def limited(count: int, limit: int) -> int:
    return limit if ult(limit, count) else count


@inline
def room(st: State, segment: int, offset: int, linear: int, size: int, bits: int, long: int, access: int) -> int:
    """How many elements from `offset` on lie in one page and in the segment; more than one, or 0."""
    n = udiv(PAGE - (linear & (PAGE - 1)), size)
    if long:
        if bits == 32:
            n = limited(n, udiv((1 << 32) - offset, size))
    else:
        n = limited(n, udiv((1 << bits) - offset, size))
        _, status = linear_address(st, segment, offset, n * size, access)
        if status != OK:
            return 0
    return n


@inline
def run_length(st: State, count: int) -> int:
    """How many iterations the count and the budget allow."""
    if rd64(st, RFL) & DF:
        return 1
    return limited(count, rd64(st, REP_LEFT) + 1)


@inline
def commit_run(st: State, count: int, n: int, bits: int) -> int:
    """`n` iterations are done: charge them (the wrapper has charged one) and count down."""
    wr64(st, REP_LEFT, rd64(st, REP_LEFT) - (n - 1))
    write(st, RCX, bits, count - n)
    return TAKEN if count != n else OK


@inline
def copy_up(to: int, source: int, n: int, size: int) -> None:
    """Copy `n` elements in ascending order, which shows where the destination overlaps the source from above."""
    if ult(to - source, n * size):
        for i in range(n):
            store_host(to + i * size, size, load_host(source + i * size, size))
    else:
        memmove(to, source, n * size)


@inline
def fill_up(to: int, value: int, n: int, size: int) -> None:
    if size == 1 or value == 0:
        memset(to, value, n * size)
    else:
        for i in range(n):
            store_host(to + i * size, size, value)


@op("rep_movs", *VARIANTS, kind=REP)
def rep_movs(width: int, address: int) -> Handler:
    bits, long = split(address)
    size = width // 8
    es = ZERO if long else ES

    def rep_movs(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, RCX, bits)
        if count == 0:
            return no_iteration(st, bits, True, True)
        n = run_length(st, count)
        if n > 1:
            source, to = read(st, RSI, bits), read(st, RDI, bits)
            source_linear, status = element(st, a, source, size, READ, long)
            to_linear, to_status = element(st, es, to, size, WRITE, long)
            source_entry, to_entry = data_entry(st, source_linear), data_entry(st, to_linear)
            if (status == OK and to_status == OK and ld64(source_entry + TLB_READ) == source_linear & PAGE_MASK
                    and ld64(to_entry + TLB_WRITE) == to_linear & PAGE_MASK):
                n = limited(n, room(st, a, source, source_linear, size, bits, long, READ))
                n = limited(n, room(st, es, to, to_linear, size, bits, long, WRITE))
                if n > 1:
                    copy_up(to_linear + ld64(to_entry + TLB_ADDEND), source_linear + ld64(source_entry + TLB_ADDEND),
                            n, size)
                    write(st, RSI, bits, source + n * size)
                    write(st, RDI, bits, to + n * size)
                    return commit_run(st, count, n, bits)
        status = movs_once(st, a, size, bits, long)
        if status != OK:
            return status
        return count_down(st, count, bits)
    return rep_movs


@op("rep_stos", *VARIANTS, kind=REP)
def rep_stos(width: int, address: int) -> Handler:
    bits, long = split(address)
    size = width // 8
    es = ZERO if long else ES

    def rep_stos(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, RCX, bits)
        if count == 0:
            return no_iteration(st, bits, False, True)
        n = run_length(st, count)
        if n > 1:
            to = read(st, RDI, bits)
            linear, status = element(st, es, to, size, WRITE, long)
            entry = data_entry(st, linear)
            if status == OK and ld64(entry + TLB_WRITE) == linear & PAGE_MASK:
                n = limited(n, room(st, es, to, linear, size, bits, long, WRITE))
                if n > 1:
                    fill_up(linear + ld64(entry + TLB_ADDEND), truncate(rd64(st, RAX), width), n, size)
                    write(st, RDI, bits, to + n * size)
                    return commit_run(st, count, n, bits)
        status = stos_once(st, size, bits, long)
        if status != OK:
            return status
        return count_down(st, count, bits)
    return rep_stos


@op("rep_lods", *VARIANTS, kind=REP)
def rep_lods(width: int, address: int) -> Handler:
    bits, long = split(address)

    def rep_lods(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, RCX, bits)
        if count == 0:
            return no_iteration(st, bits, False, False)
        status = lods_once(st, a, width // 8, bits, long)
        if status != OK:
            return status
        return count_down(st, count, bits)
    return rep_lods


@inline
def compare_and_count(st: State, x: int, y: int, count: int, width: int, bits: int, while_zf: int) -> int:
    """The end of an iteration of REPE (while_zf 1) or REPNE (0). Only the last one sets the flags: an interrupt or
    fault between iterations finds those from before the instruction."""
    write(st, RCX, bits, count - 1)
    if count != 1 and (1 if x == y else 0) == while_zf:
        return TAKEN
    compare(st, x, y, width)
    return OK


@op("rep_scas", *((w, a, z) for w, a in VARIANTS for z in (0, 1)), kind=REP)
def rep_scas(width: int, address: int, while_zf: int) -> Handler:
    bits, long = split(address)

    def rep_scas(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, RCX, bits)
        if count == 0:
            return no_iteration(st, bits, False, False)
        x, y, status = scas_operands(st, width // 8, bits, long)
        if status != OK:
            return status
        advance(st, RDI, width // 8, bits)
        return compare_and_count(st, x, y, count, width, bits, while_zf)
    return rep_scas


@op("rep_cmps", *((w, a, z) for w, a in VARIANTS for z in (0, 1)), kind=REP)
def rep_cmps(width: int, address: int, while_zf: int) -> Handler:
    bits, long = split(address)

    def rep_cmps(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, RCX, bits)
        if count == 0:
            return no_iteration(st, bits, False, False)
        x, y, status = cmps_operands(st, a, width // 8, bits, long)
        if status != OK:
            return status
        advance(st, RSI, width // 8, bits)
        advance(st, RDI, width // 8, bits)
        return compare_and_count(st, x, y, count, width, bits, while_zf)
    return rep_cmps
