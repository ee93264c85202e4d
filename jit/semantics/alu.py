"""Integer addition, subtraction and logic (SDM Vol. 2: ADD ADC SUB SBB CMP AND OR XOR TEST NOT NEG INC DEC).

Operands: d = destination, a = first source, b + imm = second source (jit/semantics/operands.py).
"""

from jit.exits import OK
from jit.flags import AF, get_cf, get_of, set_adc, set_add, set_cf, set_logic, set_of, set_sbb, set_sub, sign_extend
from jit.layout import AUX, CARRY, RES
from jit.native import Handler, State, inline, shr, wr64
from jit.registry import op
from jit.semantics.operands import WIDTHS, read, write

MINIMUM = -(1 << 63)        # shifted right by 64 - width: the least signed number of that width


@op("add", *WIDTHS)
def add(width: int) -> Handler:
    def add(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width) + imm
        r = x + y
        write(st, d, width, r)
        set_add(st, x, y, r, sign_extend(r, width), width)
        return OK
    return add


@op("adc", *WIDTHS)
def adc(width: int) -> Handler:
    def adc(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width) + imm
        r = x + y + get_cf(st)
        write(st, d, width, r)
        set_adc(st, x, y, r, sign_extend(r, width), width)
        return OK
    return adc


@op("sub", *WIDTHS)
def sub(width: int) -> Handler:
    def sub(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width) + imm
        r = x - y
        write(st, d, width, r)
        set_sub(st, x, y, r, sign_extend(r, width), width)
        return OK
    return sub


@op("sbb", *WIDTHS)
def sbb(width: int) -> Handler:
    def sbb(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width) + imm
        r = x - y - get_cf(st)
        write(st, d, width, r)
        set_sbb(st, x, y, r, sign_extend(r, width), width)
        return OK
    return sbb


@op("cmp", *WIDTHS)
def cmp(width: int) -> Handler:
    def cmp(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width) + imm
        r = x - y
        set_sub(st, x, y, r, sign_extend(r, width), width)
        return OK
    return cmp


def _logic(name: str, combine: Handler) -> None:
    @op(name, *WIDTHS)
    def logic(width: int) -> Handler:
        def logic(st: State, d: int, a: int, b: int, imm: int) -> int:
            r = combine(read(st, a, width), read(st, b, width) + imm)
            write(st, d, width, r)
            set_logic(st, sign_extend(r, width))
            return OK
        return logic


_logic("and", inline(lambda x, y: x & y))
_logic("or", inline(lambda x, y: x | y))
_logic("xor", inline(lambda x, y: x ^ y))


@op("test", *WIDTHS)
def test(width: int) -> Handler:
    def test(st: State, d: int, a: int, b: int, imm: int) -> int:
        set_logic(st, sign_extend(read(st, a, width) & (read(st, b, width) + imm), width))
        return OK
    return test


@op("not", *WIDTHS)
def not_(width: int) -> Handler:
    def not_(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, ~read(st, a, width))
        return OK
    return not_


@op("neg", *WIDTHS)
def neg(width: int) -> Handler:
    def neg(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        r = -x
        write(st, d, width, r)
        set_sub(st, 0, x, r, sign_extend(r, width), width)
        return OK
    return neg


@inline
def set_step(st: State, x: int, r: int, extended: int, of: int, width: int) -> None:
    """Flags of INC and DEC, which keep CF."""
    cf = get_cf(st)
    wr64(st, RES, extended)
    wr64(st, AUX, ((cf ^ of) << 63) | ((x ^ 1 ^ r) & AF))
    wr64(st, CARRY, cf)


@op("inc", *WIDTHS)
def inc(width: int) -> Handler:
    def inc(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        r = x + 1
        write(st, d, width, r)
        extended = sign_extend(r, width)
        set_step(st, x, r, extended, 1 if extended == MINIMUM >> (64 - width) else 0, width)
        return OK
    return inc


@op("dec", *WIDTHS)
def dec(width: int) -> Handler:
    def dec(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        r = x - 1
        write(st, d, width, r)
        set_step(st, x, r, sign_extend(r, width), 1 if sign_extend(x, width) == MINIMUM >> (64 - width) else 0, width)
        return OK
    return dec


@op("adcx", 32, 64)
def adcx(width: int) -> Handler:
    """Add with CF, leaving the other flags."""
    def adcx(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width)
        r = x + y + get_cf(st)
        write(st, d, width, r)
        set_cf(st, shr((x & y) | ((x | y) & ~r), width - 1) & 1)
        return OK
    return adcx


@op("adox", 32, 64)
def adox(width: int) -> Handler:
    """Add with OF as the carry, leaving the other flags."""
    def adox(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        y = read(st, b, width)
        r = x + y + get_of(st)
        write(st, d, width, r)
        set_of(st, shr((x & y) | ((x | y) & ~r), width - 1) & 1)
        return OK
    return adox


