"""Loading segment registers (SDM Vol. 2B MOV, Vol. 3A 3.4.3, 5.6, 5.7) and LDTR and TR (Vol. 2A LLDT, LTR)."""

from jit.access import slow_store
from jit.descriptor import (
    BUSY,
    CODE,
    CODE_OR_DATA,
    CONFORMING,
    LDT,
    PRESENT,
    READABLE,
    TSS16_FREE,
    TSS_FREE,
    attributes,
    base_of,
    fetch,
    is_null,
    is_writable_data,
    kind,
    privilege,
    set_null,
    set_real,
    set_segment,
    set_virtual,
    touch,
)
from jit.exits import OK
from jit.fault import GP, NP, general_protection, selector_fault
from jit.fault import SS as STACK_EXCEPTION
from jit.flags import VM
from jit.guards import LDTR_WRITE, TR_WRITE
from jit.layout import ARG, CPL, CR0, DESC, DESC_AT, LDTR, MODE, MODE_64, RFL, SEG_BASE, SLOW_VALUE, SS, TR, seg
from jit.mode import CR0_PE, long_mode_active, refresh
from jit.native import State, rd64, shr, wr64
from jit.slow import SUPERVISOR, is_loadable
from jit.traps import trap


def load_segment(st: State) -> int:
    """Load segment register ARG[0] (not CS) with selector ARG[1]."""
    number, selector = rd64(st, ARG), rd64(st, ARG + 8) & 0xFFFF
    if rd64(st, CR0) & CR0_PE == 0:
        set_real(st, number, selector)
    elif rd64(st, RFL) & VM:
        set_virtual(st, number, selector)
    elif is_null(selector):
        if number == SS and (rd64(st, MODE) & 3 != MODE_64 or rd64(st, CPL) == 3 or selector & 3 != rd64(st, CPL)):
            return general_protection(st, 0)
        set_null(st, number, selector)
    else:
        status = fetch(st, selector, GP)
        if status != OK:
            return status
        attr = attributes(rd64(st, DESC))
        level, dpl, rpl = rd64(st, CPL), privilege(attr), selector & 3
        if number == SS:
            if rpl != level or dpl != level or not is_writable_data(attr):
                return selector_fault(st, GP, selector)
            if attr & PRESENT == 0:
                return selector_fault(st, STACK_EXCEPTION, selector)
        else:
            if attr & CODE_OR_DATA == 0 or attr & (CODE | READABLE) == CODE:
                return selector_fault(st, GP, selector)
            if attr & (CODE | CONFORMING) != CODE | CONFORMING and (dpl < rpl or dpl < level):
                return selector_fault(st, GP, selector)
            if attr & PRESENT == 0:
                return selector_fault(st, NP, selector)
        status = touch(st)
        if status != OK:
            return status
        set_segment(st, number, selector, rd64(st, DESC))
    if number == SS:
        refresh(st)
    return OK


def load_system(st: State) -> int:
    """LLDT (ARG[0] = LDTR) and LTR (TR) with selector ARG[1]; CPL was checked."""
    number, selector = rd64(st, ARG), rd64(st, ARG + 8) & 0xFFFF
    if is_null(selector):
        if number == TR:
            return general_protection(st, 0)
        status = trap(st, LDTR_WRITE, selector, 0)
        if status == OK:
            set_null(st, LDTR, selector)
        return status
    if selector & 4:
        return selector_fault(st, GP, selector)
    status = fetch(st, selector, GP)
    if status != OK:
        return status
    desc = rd64(st, DESC)
    attr = attributes(desc)
    wanted = kind(attr) == LDT
    if number == TR:
        wanted = kind(attr) == TSS_FREE or (kind(attr) == TSS16_FREE and not long_mode_active(st))
    if not wanted:
        return selector_fault(st, GP, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    upper = 0
    if long_mode_active(st):                        # 16-byte descriptor (SDM Vol. 3A 3.5.2, 7.2.3)
        status = fetch(st, selector + 8, GP)
        if status != OK:
            return status
        upper = rd64(st, DESC)
        if shr(upper, 40) & 0x1F or not is_loadable(st, base_of(desc) | (upper << 32)):
            return selector_fault(st, GP, selector)
        wr64(st, DESC_AT, rd64(st, DESC_AT) - 8)
    status = trap(st, TR_WRITE if number == TR else LDTR_WRITE, selector, 0)
    if status != OK:
        return status
    if number == TR:
        wr64(st, SLOW_VALUE, (attr & 0xFF) | BUSY)
        status = slow_store(st, rd64(st, DESC_AT) + 5, 1 | SUPERVISOR)
        if status != OK:
            return status
        desc |= BUSY << 40
    set_segment(st, number, selector, desc)
    wr64(st, seg(number, SEG_BASE), rd64(st, seg(number, SEG_BASE)) | (upper << 32))
    return OK
