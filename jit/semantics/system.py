"""System instructions (SDM Vol. 2): privilege checks, control and debug registers, descriptor tables, MSRs."""

from jit import exits, guards, run_slots, traps
from jit.access import probe, store, translate
from jit.control_registers import check_debug_access
from jit.descriptor import CODE, WRITABLE
from jit.exits import OK
from jit.fault import general_protection, undefined_opcode
from jit.flags import AC, VM, set_zf
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CR4,
    CS_BASE,
    DR,
    DR6,
    DR7,
    GDTR_BASE,
    GS,
    KERNEL_GS_BASE,
    NPIEP,
    PAGE_RIP,
    RFL,
    SEG,
    SEG_ATTR,
    SEG_BASE,
    SEG_BYTES,
    SMM,
    TLB_SET,
    TMP,
    TSC_AUX,
    WALK_GPA,
    gpr,
    seg,
)
from jit.mode import CR0_PE, refresh
from jit.native import Handler, State, rd16, rd64, wr64
from jit.paging import EXECUTE
from jit.registry import END, op
from jit.semantics.operands import effective, hint, read, write
from jit.slots import call_slot, call_with
from jit.slow import is_loadable
from jit.vector_gate import update_gate

CR0_TS = 1 << 3
CR4_TSD, CR4_PCE, CR4_UMIP, CR4_FSGSBASE = 1 << 2, 1 << 8, 1 << 11, 1 << 16


@op("undefined", kind=END)
def undefined(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Any encoding that raises #UD."""
    return undefined_opcode(st)


@op("too_long", kind=END)
def too_long(st: State, d: int, a: int, b: int, imm: int) -> int:
    """An instruction of more than 15 bytes (SDM Vol. 2A 2.3.11)."""
    return general_protection(st, 0)


@op("unimplemented", kind=END)
def unimplemented(st: State, d: int, a: int, b: int, imm: int) -> int:
    """An instruction that Strata lacks: Python names it, then #UD."""
    return exits.UNIMPLEMENTED


@op("check_next_page")
def check_next_page(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Before an instruction that runs into the next page: that page must still be the one it was decoded from."""
    status = translate(st, (rd64(st, PAGE_RIP) + rd64(st, CS_BASE)) + 0x1000, EXECUTE, rd64(st, TLB_SET))
    if status != OK:
        return status
    return OK if rd64(st, WALK_GPA) == imm else exits.SHORT


# --- checks that precede an instruction's own work ---------------------------------------------


@op("privileged")
def privileged(st: State, d: int, a: int, b: int, imm: int) -> int:
    """CPL must be 0."""
    return OK if rd64(st, CPL) == 0 else general_protection(st, 0)


@op("protected_only")
def protected_only(st: State, d: int, a: int, b: int, imm: int) -> int:
    """#UD in real and virtual-8086 mode."""
    if rd64(st, CR0) & CR0_PE == 0 or rd64(st, RFL) & VM:
        return undefined_opcode(st)
    return OK


@op("umip")
def umip(st: State, d: int, a: int, b: int, imm: int) -> int:
    """SGDT, SIDT, SLDT, SMSW, STR above CPL 0 need CR4.UMIP = 0, and bit `imm` of NPIEP clear."""
    if rd64(st, CPL) != 0 and (rd64(st, CR4) & CR4_UMIP or rd64(st, NPIEP) & imm):
        return general_protection(st, 0)
    return OK


@op("hlt", kind=END)
def hlt(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CPL) != 0:
        return general_protection(st, 0)
    return exits.HALT


# --- control and debug registers ---------------------------------------------


@op("write_cr", 32, 64, kind=END)
def write_cr(width: int) -> Handler:
    def write_cr(st: State, d: int, a: int, b: int, imm: int) -> int:
        """CR d = slot a."""
        return call_with(st, run_slots.WRITE_CR, d, read(st, a, width), 0)
    return write_cr


@op("lmsw", kind=END)
def lmsw(st: State, d: int, a: int, b: int, imm: int) -> int:
    """PE can be set but not cleared."""
    cr0 = rd64(st, CR0)
    return call_with(st, run_slots.WRITE_CR, 0, (cr0 & ~0xE) | (rd16(st, a) & 0xF), 0)


@op("clts", kind=END)
def clts(st: State, d: int, a: int, b: int, imm: int) -> int:
    cr0 = rd64(st, CR0)
    status = traps.trap_control(st, guards.CR0_WRITE, cr0, cr0 & ~CR0_TS)
    if status != OK:
        return status
    wr64(st, CR0, cr0 & ~CR0_TS)
    update_gate(st)
    return OK


@op("read_dr", 32, 64, kind=END)
def read_dr(width: int) -> Handler:
    def read_dr(st: State, d: int, a: int, b: int, imm: int) -> int:
        """Register d = DR imm."""
        status = check_debug_access(st, imm)
        if status == OK and imm & 5 == 5:
            status = traps.trap(st, guards.DR7_READ, 0, 0)
        if status != OK:
            return status
        value = rd64(st, DR + 8 * (imm & 3))
        if imm >= 4:
            value = rd64(st, DR7) if imm & 1 else rd64(st, DR6)
        write(st, d, width, value)
        return OK
    return read_dr


@op("write_dr", 32, 64, kind=END)
def write_dr(width: int) -> Handler:
    def write_dr(st: State, d: int, a: int, b: int, imm: int) -> int:
        """DR d = slot a."""
        return call_with(st, run_slots.WRITE_DR, d, read(st, a, width), 0)
    return write_dr


@op("flush_caches", kind=END)
def flush_caches(st: State, d: int, a: int, b: int, imm: int) -> int:
    """INVD, WBINVD and WBNOINVD, which are access number imm (jit/guards.py): there is no cache to write back."""
    return traps.trap(st, imm, 0, 0)


# --- descriptor tables ---------------------------------------------


@op("load_table", 24, 32, 64, kind=END)
def load_table(bits: int) -> Handler:
    def load_table(st: State, d: int, a: int, b: int, imm: int) -> int:
        """LGDT and LIDT: the base field d and the limit after it, from slots a (limit) and b (base)."""
        base = rd64(st, b)
        if bits == 64 and not is_loadable(st, base):
            return general_protection(st, 0)
        base = base if bits == 64 else base & ((1 << bits) - 1)
        status = traps.trap(st, guards.GDTR_WRITE if d == GDTR_BASE else guards.IDTR_WRITE, base, rd16(st, a))
        if status != OK:
            return status
        wr64(st, d, base)
        wr64(st, d + 8, rd16(st, a))
        return OK
    return load_table


@op("store_table", 32, 64)
def store_table(bits: int) -> Handler:
    """SGDT and SIDT; d is the base field. A 16-bit operand size stores all 32 bits as current processors do."""
    size = bits // 8

    def store_table(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        status = probe(st, linear, 2, 0)
        if status == OK:
            status = probe(st, linear + 2, size, 0)
        if status == OK:
            status = store(st, linear, 2, 0, rd64(st, d + 8))
        if status == OK:
            status = store(st, linear + 2, size, 0, rd64(st, d))
        return status
    return store_table


@op("load_system", kind=END)
def load_system(st: State, d: int, a: int, b: int, imm: int) -> int:
    """LLDT and LTR."""
    return call_with(st, run_slots.LOAD_SYSTEM, d, rd16(st, a), 0)


@op("inspect", *((k, w) for k in ("verr", "verw", "lar", "lsl") for w in (16, 32, 64)))
def inspect(name: str, width: int) -> Handler:
    """VERR, VERW, LAR, LSL of the selector in slot a: ZF says whether it is valid, LAR and LSL then write d."""
    number = ("verr", "verw", "lar", "lsl").index(name)

    def inspect(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = call_with(st, run_slots.INSPECT, number, rd16(st, a), 0)
        if status != OK:
            return status
        valid = rd64(st, ARG + 24)
        if valid and number >= 2:
            write(st, d, width, rd64(st, ARG + 16))
        set_zf(st, 1 if valid else 0)
        return OK
    return inspect


@op("arpl")
def arpl(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Slot d's RPL becomes at least slot a's."""
    selector, rpl = rd16(st, d), rd16(st, a) & 3
    lower = selector & 3 < rpl
    if lower:
        write(st, d, 16, (selector & ~3) | rpl)
    set_zf(st, 1 if lower else 0)
    return OK


@op("arpl_memory")
def arpl_memory(st: State, d: int, a: int, b: int, imm: int) -> int:
    """The same for the word at an address, loaded into the first TMP slot, through segment register `imm`; d has the
    other selector. Only a word that changes is written, or has to be writable, which is what processors do."""
    selector, rpl = rd16(st, TMP), rd16(st, d) & 3
    lower = selector & 3 < rpl
    if lower:
        if rd64(st, SEG + SEG_BYTES * imm + SEG_ATTR) & (CODE | WRITABLE) != WRITABLE:
            return general_protection(st, 0)
        status = store(st, effective(st, a, b, 0), 2, hint(b), (selector & ~3) | rpl)
        if status != OK:
            return status
    set_zf(st, 1 if lower else 0)
    return OK


# --- model-specific and extended registers ---------------------------------------------


@op("rdmsr", kind=END)
def rdmsr(st: State, d: int, a: int, b: int, imm: int) -> int:
    return call_slot(st, run_slots.READ_MSR)


@op("wrmsr", kind=END)
def wrmsr(st: State, d: int, a: int, b: int, imm: int) -> int:
    return call_slot(st, run_slots.WRITE_MSR)


@op("cpuid", kind=END)
def cpuid(st: State, d: int, a: int, b: int, imm: int) -> int:
    return exits.CPUID


@op("rsm", kind=END)
def rsm(st: State, d: int, a: int, b: int, imm: int) -> int:
    """#UD outside system-management mode."""
    return exits.RSM if rd64(st, SMM) else undefined_opcode(st)


@op("rdtsc", kind=END)
def rdtsc(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CPL) != 0 and rd64(st, CR4) & CR4_TSD:
        return general_protection(st, 0)
    status = traps.trap(st, guards.RDTSC, 0, 0)
    return exits.RDTSC if status == OK else status


@op("rdtscp", kind=END)
def rdtscp(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CPL) != 0 and rd64(st, CR4) & CR4_TSD:
        return general_protection(st, 0)
    status = traps.trap(st, guards.RDTSCP, 0, 0)
    if status != OK:
        return status
    wr64(st, gpr(1), rd64(st, TSC_AUX) & 0xFFFFFFFF)
    return exits.RDTSC


@op("rdpmc", kind=END)
def rdpmc(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Above CPL 0 it needs CR4.PCE (SDM Vol. 2B RDPMC)."""
    if rd64(st, CPL) != 0 and rd64(st, CR4) & CR4_PCE == 0:
        return general_protection(st, 0)
    return exits.RDPMC


@op("swapgs", kind=END)
def swapgs(st: State, d: int, a: int, b: int, imm: int) -> int:
    base = rd64(st, seg(GS, SEG_BASE))
    wr64(st, seg(GS, SEG_BASE), rd64(st, KERNEL_GS_BASE))
    wr64(st, KERNEL_GS_BASE, base)
    return OK


@op("fsgsbase")
def fsgsbase(st: State, d: int, a: int, b: int, imm: int) -> int:
    """RDFSBASE and the like need CR4.FSGSBASE."""
    return OK if rd64(st, CR4) & CR4_FSGSBASE else undefined_opcode(st)


@op("write_base", 32, 64)
def write_base(width: int) -> Handler:
    def write_base(st: State, d: int, a: int, b: int, imm: int) -> int:
        """WRFSBASE, WRGSBASE: base field d = slot a."""
        value = read(st, a, width)
        if not is_loadable(st, value):
            return general_protection(st, 0)
        wr64(st, d, value)
        return OK
    return write_base


@op("set_ac", kind=END)
def set_ac(st: State, d: int, a: int, b: int, imm: int) -> int:
    """STAC (imm = 1) and CLAC; #UD above CPL 0."""
    if rd64(st, CPL) != 0:
        return undefined_opcode(st)
    flags = rd64(st, RFL) & ~AC
    wr64(st, RFL, flags | AC if imm else flags)
    refresh(st)
    return OK
