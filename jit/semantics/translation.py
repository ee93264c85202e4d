"""What software does to cached translations and their rights: INVLPG, INVPCID, RDPKRU, WRPKRU (SDM Vol. 2).

A TLB here knows no PCIDs: whatever loads CR3 empties it, so all INVPCID types but the first do, too.
"""

from jit.exits import OK
from jit.fault import general_protection, undefined_opcode
from jit.fpu_layout import PKRU
from jit.layout import CPL, CR4, FPU, gpr
from jit.native import Handler, State, ld32, rd32, rd64, st64, wr64
from jit.protection_keys import CR4_PKE, follow_pkru
from jit.registry import END, op
from jit.semantics.operands import effective, read
from jit.slow import is_loadable
from jit.tlb import flush_all, flush_page

CR4_PCIDE = 1 << 17
INDIVIDUAL_ADDRESS, SINGLE_CONTEXT = 0, 1       # INVPCID types; 2 and 3: all contexts, with and without global pages


@op("invlpg", kind=END)
def invlpg(st: State, d: int, a: int, b: int, imm: int) -> int:
    flush_page(st, effective(st, a, b, imm))
    return OK


@op("check_invpcid", 32, 64)
def check_invpcid(width: int) -> Handler:
    def check_invpcid(st: State, d: int, a: int, b: int, imm: int) -> int:
        """CPL 0, and a type that exists, in slot a."""
        kind = read(st, a, width)
        if rd64(st, CPL) != 0 or kind & ~3:
            return general_protection(st, 0)
        return OK
    return check_invpcid


@op("invpcid", kind=END)
def invpcid(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Slot a: the type; slots d and b: the descriptor's PCID and linear address."""
    kind, pcid, linear = rd32(st, a), rd64(st, d), rd64(st, b)
    if pcid & ~0xFFF:
        return general_protection(st, 0)
    if kind <= SINGLE_CONTEXT and pcid != 0 and rd64(st, CR4) & CR4_PCIDE == 0:
        return general_protection(st, 0)
    if kind == INDIVIDUAL_ADDRESS:
        if not is_loadable(st, linear):
            return general_protection(st, 0)
        flush_page(st, linear)
    else:
        flush_all(st)
    return OK


@op("rdpkru")
def rdpkru(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CR4) & CR4_PKE == 0:
        return undefined_opcode(st)
    if rd32(st, gpr(1)) != 0:
        return general_protection(st, 0)
    wr64(st, gpr(0), ld32(rd64(st, FPU) + PKRU))
    wr64(st, gpr(2), 0)
    return OK


@op("wrpkru", kind=END)
def wrpkru(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CR4) & CR4_PKE == 0:
        return undefined_opcode(st)
    if rd32(st, gpr(1)) != 0 or rd32(st, gpr(2)) != 0:
        return general_protection(st, 0)
    st64(rd64(st, FPU) + PKRU, rd32(st, gpr(0)))
    follow_pkru(st)
    return OK


