"""Accesses that miss the TLB's fast path: translation, page crossing, devices, stores to decoded code.

A device access leaves to Python with the request in IO_*. The micro-op is then executed again and finds the answer
in IO_LOG; as handlers are deterministic, a micro-op with several device accesses replays the earlier ones.
"""

from jit import exits, pmap
from jit.access import PAGE_MASK, beside, load_host, note_write, store_host, translate
from jit.exits import IO_MMIO_READ, IO_MMIO_WRITE, OK
from jit.fault import AC, fault_with_code, general_protection, stack_fault
from jit.layout import (
    CODE_MAP,
    CPL,
    CR3,
    CR4,
    CR4_VALID,
    EFER,
    IO_ADDRESS,
    IO_DONE,
    IO_KIND,
    IO_LOG,
    IO_LOGGED,
    IO_NEXT,
    IO_SIZE,
    IO_VALUE,
    LINE_SHIFT,
    LINEAR_SHIFT,
    MODE,
    MODE_64,
    PROBES,
    SET_ALIGN,
    SET_SHADOW,
    SET_SHADOW_USER,
    SET_SMAP,
    SET_SUPERVISOR,
    SLOW_VALUE,
    SMC_GPA,
    SMC_PASS,
    SMC_SECOND,
    TLB_READ,
    TLB_SET,
    TLB_WRITE,
    WALK_GPA,
)
from jit.native import State, inline, ld64, rd64, shr, wr64
from jit.paging import CR4_LA57, CR4_SMAP, EFER_LMA, READ, WRITE, host_page
from jit.probe import look, note
from jit.watch import ON_ACCESS, ON_WRITE, may_hit, note_hits

STACK = 0x100           # added to a size: the access is through SS, so a non-canonical address is #SS
CR3_LAM_U57, CR3_LAM_U48, CR4_LAM_SUP, EFER_UAIE, SIGN = 1 << 61, 1 << 62, 1 << 28, 1 << 20, -(1 << 63)
ALIGNED = 0x400         # added to a size: part of a larger operand, whose alignment has been checked
SHADOW = 0x800          # added to a size: a shadow-stack access; with SUPERVISOR, of users by the kernel (WRUSS)
SUPERVISOR = 0x200      # added to a size: an implicit supervisor access (descriptor tables, TSS; SDM Vol. 3A 4.6)


@inline
def is_canonical(st: State, linear: int) -> bool:
    """Canonical form for the linear-address width in force (SDM Vol. 1 3.3.7.1, Vol. 3A 4.5.1)."""
    unused = rd64(st, LINEAR_SHIFT)
    return (linear << unused) >> unused == linear


@inline
def is_loadable(st: State, linear: int) -> bool:
    """Canonical form for the processor's own width, whatever CR4.LA57: what MSRs, bases of segments and descriptor
    tables, and INVPCID's addresses are checked for (Intel, "5-Level Paging and 5-Level EPT", 2.4)."""
    unused = 7 if rd64(st, CR4_VALID) & CR4_LA57 else 16
    return (linear << unused) >> unused == linear


@inline
def device(st: State, kind: int, address: int, size: int, value: int) -> int:
    """A device access: OK with the answer in SLOW_VALUE if this retry has it, else IO."""
    step = rd64(st, IO_NEXT)
    if step < rd64(st, IO_DONE):
        wr64(st, SLOW_VALUE, rd64(st, IO_LOG + ((step & (IO_LOGGED - 1)) << 3)))
        wr64(st, IO_NEXT, step + 1)
        return OK
    wr64(st, IO_KIND, kind)
    wr64(st, IO_ADDRESS, address)
    wr64(st, IO_SIZE, size)
    wr64(st, IO_VALUE, value)
    return exits.IO


@inline
def read_physical(st: State, gpa: int, size: int) -> int:
    """A read that lies in one page; the value in SLOW_VALUE."""
    backing = host_page(st, gpa)
    if backing & pmap.READ:
        wr64(st, SLOW_VALUE, load_host((backing & PAGE_MASK) | (gpa & 0xFFF), size))
        return OK
    return device(st, IO_MMIO_READ, gpa, size, 0)


@inline
def hits_code(st: State, gpa: int, size: int) -> bool:
    """Whether the bytes share a 64-byte line with decoded instructions."""
    line = shr(gpa & 0xFFF, 6)
    last = shr((gpa & 0xFFF) + size - 1, 6)
    decoded = ld64(rd64(st, CODE_MAP) + (shr(gpa, 12) << 3))
    return (shr(decoded, line) | shr(decoded, last)) & 1 != 0


@inline
def blocked_by_code(st: State, gpa: int, size: int) -> bool:
    """Whether a store must wait until the instructions it overwrites are invalidated: SMC_GPA says where. While the
    store passes, SMC_SECOND takes note of code on another page, which need not be the next in physical memory."""
    if host_page(st, gpa) & pmap.CODE and hits_code(st, gpa, size):
        if rd64(st, SMC_PASS) == 0:
            wr64(st, SMC_GPA, gpa)
            return True
        if (gpa ^ rd64(st, SMC_GPA)) & PAGE_MASK:
            wr64(st, SMC_SECOND, (gpa & PAGE_MASK) + 1)
    return False


@inline
def write_physical(st: State, gpa: int, size: int, value: int) -> int:
    """A write that lies in one page and hits no code. ROM ignores it."""
    backing = host_page(st, gpa)
    if backing & pmap.WRITE:
        if backing & pmap.WATCHED:
            note_write(st, gpa, size)
        store_host((backing & PAGE_MASK) | (gpa & 0xFFF), size, value)
        return OK
    if backing & pmap.READ:
        return OK
    return device(st, IO_MMIO_WRITE, gpa, size, value)


@inline
def wide(st: State, flags: int) -> bool:
    """Whether linear addresses have 64 bits: in 64-bit mode, and in all of long mode for system structures."""
    return rd64(st, MODE) & 3 == MODE_64 or (flags & SUPERVISOR != 0 and rd64(st, EFER) & EFER_LMA != 0)


@inline
def check_address(st: State, linear: int, size: int, flags: int) -> int:
    """Non-canonical addresses fault in 64-bit mode; OK or FAULT."""
    if wide(st, flags) and not (is_canonical(st, linear) and is_canonical(st, linear + size - 1)):
        if flags & STACK:
            return stack_fault(st, 0)
        return general_protection(st, 0)
    return OK


@inline
def untagged(st: State, linear: int) -> int:
    """A pointer without the upper bits that software may use: linear-address masking (LAM, "Intel Architecture
    Instruction Set Extensions" chapter 6), which keeps bit 63, and AMD's upper-address ignore (APM Vol. 2 5.10)."""
    kept = 0                                # bits of the address, from bit 0; bit 63 besides with LAM
    if linear < 0:
        if rd64(st, CR4) & CR4_LAM_SUP:
            kept = 57 if rd64(st, CR4) & CR4_LA57 else 48
    else:
        cr3 = rd64(st, CR3)
        if cr3 & CR3_LAM_U57:
            kept = 57
        elif cr3 & CR3_LAM_U48:
            kept = 48
    if kept != 0:
        extended = (linear << (64 - kept)) >> (64 - kept)
        linear = (extended & ~SIGN) | (linear & SIGN)
    if rd64(st, EFER) & EFER_UAIE:
        linear = (linear << 7) >> 7
    return linear


@inline
def wrap(st: State, linear: int, flags: int) -> int:
    """The linear address of an access: 32 bits wide outside 64-bit mode, in it without a pointer's tag."""
    if not wide(st, flags):
        return linear & 0xFFFFFFFF
    return linear if flags & (SUPERVISOR | SHADOW) else untagged(st, linear)


@inline
def tlb_set_for(st: State, flags: int) -> int:
    """The rights that apply; implicit supervisor accesses obey SMAP whatever EFLAGS.AC is (SDM Vol. 3A 4.6.1)."""
    if flags & SHADOW:
        return SET_SHADOW_USER if rd64(st, CPL) == 3 or flags & SUPERVISOR else SET_SHADOW
    if flags & SUPERVISOR:
        return SET_SMAP if rd64(st, CR4) & CR4_SMAP else SET_SUPERVISOR
    return rd64(st, TLB_SET)


@inline
def check_alignment(st: State, linear: int, size: int, flags: int, tlb_set: int) -> int:
    """#AC(0) for an operand that is not aligned to its size, or to 8 where it is larger (SDM Vol. 3A table 6-7). It
    comes before #PF, as on AMD processors; the SDM leaves the order open."""
    if tlb_set == SET_ALIGN and flags & ALIGNED == 0:
        mask = 7 if size >= 8 else 3 if size >= 4 else size - 1
        if linear & mask:
            return fault_with_code(st, AC, 0)
    return OK


@inline
def second_page(st: State, linear: int, size: int, flags: int) -> int:
    """Linear address of the page that the access runs into, or of its own page."""
    return wrap(st, (linear + size - 1) & PAGE_MASK, flags)


@inline
def shortcut(st: State, linear: int, size: int, flags: int, tag: int) -> int:
    """Host address of an access beside watchpoints with the rights in force, or 0."""
    if rd64(st, PROBES) == 0 or flags & SUPERVISOR:
        return 0
    return beside(st, linear, size, tag)


def slow_load(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    host = shortcut(st, linear, size, size_and_flags, TLB_READ)
    if host != 0:
        wr64(st, SLOW_VALUE, load_host(host, size))
        return OK
    tlb_set = tlb_set_for(st, size_and_flags)
    linear = wrap(st, linear, size_and_flags)
    status = check_address(st, linear, size, size_and_flags)
    if status == OK:
        status = check_alignment(st, linear, size, size_and_flags, tlb_set)
    if status == OK:
        status = note_hits(st, linear, size, ON_ACCESS)
    if status != OK:
        return status
    status = translate(st, linear, READ, tlb_set)
    if status != OK:
        return status
    gpa = rd64(st, WALK_GPA)
    if (linear & 0xFFF) + size <= 0x1000:
        status = note(st, linear, gpa, size, READ, 0)
        if status != OK:
            return status
        return read_physical(st, gpa, size)
    status = translate(st, second_page(st, linear, size, size_and_flags), READ, tlb_set)
    if status != OK:
        return status
    second = rd64(st, WALK_GPA)
    first_bytes = 0x1000 - (linear & 0xFFF)
    status = note(st, linear, gpa, first_bytes, READ, 0) | note(
        st, linear + first_bytes, second, size - first_bytes, READ, 0)
    if status != OK:
        return status
    value = 0
    for i in range(size):
        at = gpa + i if i < first_bytes else second + (i - first_bytes)
        status = read_physical(st, at, 1)
        if status != OK:
            return status
        value |= rd64(st, SLOW_VALUE) << (8 * i)
    wr64(st, SLOW_VALUE, value)
    return OK


def slow_store(st: State, linear: int, size_and_flags: int) -> int:
    value = rd64(st, SLOW_VALUE)
    size = size_and_flags & 0xFF
    host = shortcut(st, linear, size, size_and_flags, TLB_WRITE)
    if host != 0:
        store_host(host, size, value)
        return OK
    tlb_set = tlb_set_for(st, size_and_flags)
    linear = wrap(st, linear, size_and_flags)
    status = check_address(st, linear, size, size_and_flags)
    if status == OK:
        status = check_alignment(st, linear, size, size_and_flags, tlb_set)
    if status == OK:
        status = note_hits(st, linear, size, ON_WRITE | ON_ACCESS)
    if status != OK:
        return status
    status = translate(st, linear, WRITE, tlb_set)
    if status != OK:
        return status
    gpa = rd64(st, WALK_GPA)
    if (linear & 0xFFF) + size <= 0x1000:
        if blocked_by_code(st, gpa, size):
            return exits.SMC
        status = note(st, linear, gpa, size, WRITE, value)
        if status != OK:
            return status
        return write_physical(st, gpa, size, value)
    status = translate(st, second_page(st, linear, size, size_and_flags), WRITE, tlb_set)
    if status != OK:
        return status
    second = rd64(st, WALK_GPA)
    first_bytes = 0x1000 - (linear & 0xFFF)
    if blocked_by_code(st, gpa, first_bytes) or blocked_by_code(st, second, size - first_bytes):
        return exits.SMC
    status = note(st, linear, gpa, first_bytes, WRITE, value) | note(
        st, linear + first_bytes, second, size - first_bytes, WRITE, shr(value, 8 * first_bytes))
    if status != OK:
        return status
    for i in range(size):
        at = gpa + i if i < first_bytes else second + (i - first_bytes)
        status = write_physical(st, at, 1, shr(value, 8 * i) & 0xFF)
        if status != OK:
            return status
    return OK


def slow_probe(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    if size <= 1 << LINE_SHIFT and shortcut(st, linear, size, size_and_flags, TLB_WRITE) != 0:
        return OK
    tlb_set = tlb_set_for(st, size_and_flags)
    linear = wrap(st, linear, size_and_flags)
    status = check_address(st, linear, size, size_and_flags)
    if status == OK:
        status = check_alignment(st, linear, size, size_and_flags, tlb_set)
    if status == OK:
        status = may_hit(st, linear, size, ON_WRITE | ON_ACCESS)
    if status != OK:
        return status
    status = translate(st, linear, WRITE, tlb_set)
    if status != OK:
        return status
    gpa = rd64(st, WALK_GPA)
    if (linear & 0xFFF) + size <= 0x1000:
        if blocked_by_code(st, gpa, size):
            return exits.SMC
        return look(st, linear, gpa, size)
    status = translate(st, second_page(st, linear, size, size_and_flags), WRITE, tlb_set)
    if status != OK:
        return status
    second = rd64(st, WALK_GPA)
    first_bytes = 0x1000 - (linear & 0xFFF)
    if blocked_by_code(st, gpa, first_bytes) or blocked_by_code(st, second, size - first_bytes):
        return exits.SMC
    return look(st, linear, gpa, first_bytes) | look(st, linear + first_bytes, second, size - first_bytes)
