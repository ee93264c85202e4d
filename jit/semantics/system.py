"""System instructions and the micro-ops that leave to Python."""

from jit import exits
from jit.access import translate
from jit.exits import OK
from jit.fault import undefined_opcode
from jit.layout import CPL, PAGE_RIP, CS_BASE, TLB_SET, WALK_GPA
from jit.native import rd64
from jit.fault import general_protection
from jit.paging import EXECUTE
from jit.registry import END, op


@op("undefined", kind=END)
def undefined(st, d, a, b, imm):
    """Any encoding that raises #UD."""
    return undefined_opcode(st)


@op("unimplemented", kind=END)
def unimplemented(st, d, a, b, imm):
    """An instruction that Strata lacks: Python names it, then #UD."""
    return exits.UNIMPLEMENTED


@op("check_next_page")
def check_next_page(st, d, a, b, imm):
    """Before an instruction that runs into the next page: that page must still be the one it was decoded from."""
    status = translate(st, (rd64(st, PAGE_RIP) + rd64(st, CS_BASE)) + 0x1000, EXECUTE, rd64(st, TLB_SET))
    if status != OK:
        return status
    return OK if rd64(st, WALK_GPA) == imm else exits.SHORT


@op("hlt", kind=END)
def hlt(st, d, a, b, imm):
    if rd64(st, CPL) != 0:
        return general_protection(st, 0)
    return exits.HALT
