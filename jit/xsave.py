"""XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR and XRSTORS (SDM Vol. 1 13.7 to 13.12; Vol. 2 of each).

ARG[0]: effective address; ARG[1]: XSAVE_* bits of jit/semantics/wiring.py; ARG[2]: the access hint; ARG[3]: how the
area is addressed (jit/area.py). That the instruction may run was checked. EDX:EAX AND XCR0 is the requested-feature
bitmap, with XCR0 OR IA32_XSS in XSAVES and XRSTORS.

XINUSE is exact: a component is in use when its registers differ from their initial configuration, which is what makes
an image a function of the registers alone. The modified optimization, which a processor may use in XSAVEOPT and XSAVES
for what has not changed since XRSTOR, is not used: the areas' bytes would depend on which instruction ran before.
"""

from jit.area import area_load, area_part, area_probe, area_start, area_store
from jit.exits import OK
from jit.fault import general_protection
from jit.fpu_layout import MXCSR, MXCSR_INIT, XSAVE_AREA
from jit.fxsave import (
    FX_MXCSR,
    FX_ST,
    FX_XMM,
    MXCSR_MASK,
    image_word,
    initial_x87,
    initialise_x87,
    restore_x87,
)
from jit.layout import ARG, FPU, SELF, XCR0, XSS, gpr
from jit.mode import refresh
from jit.msr import cet_valid
from jit.native import State, inline, ld32, ld64, memmove, memset, rd32, rd64, shr, st64, table
from jit.protection_keys import follow_pkru
from jit.semantics.segmentation import READ, WRITE
from jit.semantics.wiring import (
    COMPACT,
    OPTIMISED,
    PLAIN_FORM,
    SUPERVISOR,
    XSAVE_COMPACTS,
    XSAVE_FORM,
    XSAVE_LONG,
    XSAVE_WIDE,
)
from jit.xsave_layout import AVX, COMPONENTS, HEADER, HEADER_BYTES, LEGACY_AND_HEADER, SSE, X87, XCOMP_BV

# COMPONENTS by row and field; rows FIRST to LAST - 1 are all but x87's
NUMBER, OFFSET, SIZE, ALIGNED, FILE, EACH, STRIDE, COUNT, COUNT32, IN_PLANE, FIELDS = range(11)
FIRST, LAST = 1, len(COMPONENTS)
cell = table(tuple(int(value) for c in COMPONENTS for value in (
    c.number, c.offset, c.size, c.aligned, c.file, c.each, c.stride, c.count, c.count32,
    c.supervisor)))
CET_U = 1 << 11
COMPACTED = -1 << 63                # bit 63 of XCOMP_BV


@inline
def registers(row: int, wide: int) -> int:
    """How many registers of a component the mode has."""
    return cell(row * FIELDS + COUNT) if wide else cell(row * FIELDS + COUNT32)


@inline
def home(st: State, row: int) -> int:
    """Host address of a component's first register."""
    base = rd64(st, SELF) if cell(row * FIELDS + IN_PLANE) else rd64(st, FPU)
    return base + cell(row * FIELDS + FILE)


@inline
def in_use(st: State, wide: int) -> int:
    """XINUSE (SDM Vol. 1 13.6). MXCSR does not count."""
    found = 0 if initial_x87(rd64(st, FPU)) else X87
    for row in range(FIRST, LAST):
        odd = 0
        for n in range(registers(row, wide)):
            for at in range(0, cell(row * FIELDS + EACH), 8):
                odd |= ld64(home(st, row) + n * cell(row * FIELDS + STRIDE) + at)
        if odd != 0:
            found |= 1 << cell(row * FIELDS + NUMBER)
    return found


@inline
def offered(st: State, form: int) -> int:
    """The components that are enabled for a form of the instructions."""
    return rd64(st, XCR0) | rd64(st, XSS) if form == SUPERVISOR else rd64(st, XCR0)


@inline
def requested(st: State, form: int) -> int:
    """RFBM, the requested-feature bitmap."""
    return offered(st, form) & (rd32(st, gpr(0)) | (rd32(st, gpr(2)) << 32))


@inline
def place(row: int, layout: int, compact: bool) -> int:
    """Offset in the area of a component above SSE's. `layout`: those that a compacted one has (SDM Vol. 1 13.4.3)."""
    if not compact:
        return cell(row * FIELDS + OFFSET)
    end = LEGACY_AND_HEADER
    for before in range(FIRST + 1, row + 1):
        if shr(layout, cell(before * FIELDS + NUMBER)) & 1:
            if cell(before * FIELDS + ALIGNED):
                end = (end + 63) & -64
            if before == row:
                return end
            end += cell(before * FIELDS + SIZE)
    return end


@inline
def component_at(row: int, layout: int, compact: bool) -> int:
    """Offset in the area of any component but x87's."""
    return cell(row * FIELDS + OFFSET) if cell(row * FIELDS + NUMBER) == 1 else place(row, layout, compact)


@inline
def area_end(asked: int, layout: int, compact: bool) -> int:
    """Bytes from the area's start to the end of the last component of `asked`. Processors access the last of them,
    then where the legacy region starts, whether or not the instruction has a use for them."""
    end = LEGACY_AND_HEADER
    for row in range(FIRST + 1, LAST):
        if shr(asked, cell(row * FIELDS + NUMBER)) & 1:
            end = place(row, layout, compact) + cell(row * FIELDS + SIZE)
    return end


@inline
def legacy_start(asked: int, compact: bool) -> int:
    """Offset in the legacy region of what `asked` has there, x87 state or MXCSR; else of the header."""
    if asked & X87:
        return 0
    return FX_MXCSR if asked & (SSE if compact else SSE | AVX) else HEADER


@inline
def can_start(st: State, area: int, how: int, hint: int, access: int) -> int:
    """Status of the segment's header, and then of the area's start."""
    _, status = area_part(st, area, how, HEADER, HEADER_BYTES, access)
    if status == OK:
        status = area_start(st, area, how, 64, hint)
    return status


@inline
def can_write(st: State, area: int, how: int, offset: int, size: int, hint: int) -> int:
    """Whether `size` bytes, a multiple of 8, can be written."""
    status = OK
    for at in range(0, size, 8):
        status = area_probe(st, area, how, offset + at, 8, hint)
        if status != OK:
            return status
    return status


def xsave(st: State) -> int:
    area, code, hint, how = rd64(st, ARG), rd64(st, ARG + 8), rd64(st, ARG + 16), rd64(st, ARG + 24)
    form, wide, long = code & XSAVE_FORM, code & XSAVE_WIDE, code & XSAVE_LONG
    compact = form == COMPACT or form == SUPERVISOR
    fpu = rd64(st, FPU)
    status = can_start(st, area, how, hint, WRITE)
    if status != OK:
        return status
    wanted = requested(st, form)
    used = in_use(st, wide) & wanted
    if compact and wanted & SSE and ld32(fpu + MXCSR) != MXCSR_INIT:
        used |= SSE                                 # the compacted forms save MXCSR as SSE state
    saved = wanted if form == PLAIN_FORM else used
    mxcsr = saved & SSE if compact else wanted & (SSE | AVX)

    status = area_probe(st, area, how, area_end(wanted, wanted, compact) - 1, 1, hint)
    if status == OK:
        status = area_probe(st, area, how, legacy_start(wanted, compact), 8, hint)
    if status == OK:
        status = can_write(st, area, how, HEADER, 16 if compact else 8, hint)
    if status == OK and saved & X87:
        status = can_write(st, area, how, 0, FX_MXCSR, hint)
        if status == OK:
            status = can_write(st, area, how, FX_ST, FX_XMM - FX_ST, hint)
    if status == OK and mxcsr:
        status = can_write(st, area, how, FX_MXCSR, 8, hint)
    for row in range(FIRST, LAST):
        if status == OK and shr(saved, cell(row * FIELDS + NUMBER)) & 1:
            size = registers(row, wide) * cell(row * FIELDS + EACH)
            status = can_write(st, area, how, component_at(row, wanted, compact), size, hint)
    if status != OK:
        return status
    present = used
    if not compact:
        before, status = area_load(st, area, how, HEADER, 8, hint)
        if status != OK:
            return status
        present |= before & ~wanted

    if saved & X87:
        for at in range(0, FX_XMM, 8):
            if at != FX_MXCSR and status == OK:
                status = area_store(st, area, how, at, hint, image_word(fpu, at, long))
    if mxcsr and status == OK:
        status = area_store(st, area, how, FX_MXCSR, hint, image_word(fpu, FX_MXCSR, long))
    for row in range(FIRST, LAST):
        if shr(saved, cell(row * FIELDS + NUMBER)) & 1:
            to = component_at(row, wanted, compact)
            for n in range(registers(row, wide)):
                for at in range(0, cell(row * FIELDS + EACH), 8):
                    if status == OK:
                        word = ld64(home(st, row) + n * cell(row * FIELDS + STRIDE) + at)
                        status = area_store(st, area, how, to, hint, word)
                    to += 8
    if status == OK:
        status = area_store(st, area, how, HEADER, hint, present)
    if compact and status == OK:
        status = area_store(st, area, how, XCOMP_BV, hint, wanted | COMPACTED)
    return status


@inline
def fetch(st: State, area: int, how: int, offset: int, size: int, to: int, hint: int) -> int:
    """Read part of the area into the FPU file's copy of it, at offset `to` there."""
    copy = rd64(st, FPU) + XSAVE_AREA
    for at in range(0, size, 8):
        value, status = area_load(st, area, how, offset + at, 8, hint)
        if status != OK:
            return status
        st64(copy + to + at, value)
    return OK


@inline
def header_is_valid(area: int, xcr0: int, code: int) -> bool:
    """SDM Vol. 1 13.8 (XRSTOR), 13.12 (XRSTORS)."""
    present, layout = ld64(area + HEADER), ld64(area + XCOMP_BV)
    if layout >= 0:
        return code & XSAVE_FORM != SUPERVISOR and present & ~xcr0 == 0 and layout | ld64(area + HEADER + 16) == 0
    if code & XSAVE_COMPACTS == 0:
        return False
    reserved = 0
    for at in range(HEADER + 16, LEGACY_AND_HEADER, 8):
        reserved |= ld64(area + at)
    return present & ~(layout & ~COMPACTED) == 0 and reserved == 0


@inline
def cet_words_valid(st: State, area: int, taken: int) -> bool:
    """Whether XRSTORS may load what it has read of CET's components, by the rules for WRMSR (SDM Vol. 2 XRSTORS)."""
    for row in range(FIRST, LAST):
        if cell(row * FIELDS + IN_PLANE) and shr(taken, cell(row * FIELDS + NUMBER)) & 1:
            for n in range(cell(row * FIELDS + COUNT)):
                word = ld64(area + cell(row * FIELDS + OFFSET) + 8 * n)
                if not cet_valid(st, cell(row * FIELDS + FILE) + 8 * n, word):
                    return False
    return True


def xrstor(st: State) -> int:
    area, code, hint, how = rd64(st, ARG), rd64(st, ARG + 8), rd64(st, ARG + 16), rd64(st, ARG + 24)
    wide, long = code & XSAVE_WIDE, code & XSAVE_LONG
    fpu = rd64(st, FPU)
    copy = fpu + XSAVE_AREA
    status = can_start(st, area, how, hint, READ)
    if status != OK:
        return status
    status = fetch(st, area, how, HEADER, LEGACY_AND_HEADER - HEADER, HEADER, hint)
    if status != OK:
        return status
    form = code & XSAVE_FORM
    wanted, present, layout = requested(st, form), ld64(copy + HEADER), ld64(copy + XCOMP_BV)
    compact = layout < 0
    if compact and layout & ~COMPACTED & ~offered(st, form):        # processors look at these bits before the others
        return general_protection(st, 0)
    asked = wanted & layout if compact else wanted
    _, status = area_load(st, area, how, area_end(asked, layout, compact) - 1, 1, hint)
    if status == OK:
        _, status = area_load(st, area, how, legacy_start(asked, compact), 8, hint)
    if status != OK:
        return status
    if not header_is_valid(copy, offered(st, form), code):
        return general_protection(st, 0)
    taken = wanted & present
    mxcsr = taken & SSE if compact else wanted & (SSE | AVX)

    if taken & X87:
        status = fetch(st, area, how, 0, FX_MXCSR, 0, hint)
        if status == OK:
            status = fetch(st, area, how, FX_ST, FX_XMM - FX_ST, FX_ST, hint)
    if mxcsr and status == OK:
        status = fetch(st, area, how, FX_MXCSR, 8, FX_MXCSR, hint)
    for row in range(FIRST, LAST):
        if status == OK and shr(taken, cell(row * FIELDS + NUMBER)) & 1:
            size, to = registers(row, wide) * cell(row * FIELDS + EACH), cell(row * FIELDS + OFFSET)
            status = fetch(st, area, how, component_at(row, layout, compact), size, to, hint)
    if status != OK:
        return status
    if mxcsr and ld32(copy + FX_MXCSR) & ~MXCSR_MASK or not cet_words_valid(st, copy, taken):
        return general_protection(st, 0)

    if taken & X87:
        restore_x87(fpu, copy, long)
    elif wanted & X87:
        initialise_x87(fpu)
    if mxcsr:
        st64(fpu + MXCSR, ld32(copy + FX_MXCSR))
    elif compact and wanted & SSE:
        st64(fpu + MXCSR, MXCSR_INIT)
    for row in range(FIRST, LAST):
        number, each = cell(row * FIELDS + NUMBER), cell(row * FIELDS + EACH)
        if shr(wanted, number) & 1:
            for n in range(registers(row, wide)):
                to = home(st, row) + n * cell(row * FIELDS + STRIDE)
                if shr(taken, number) & 1:
                    memmove(to, copy + cell(row * FIELDS + OFFSET) + n * each, each)
                else:
                    memset(to, 0, each)
    follow_pkru(st)
    if wanted & CET_U:
        refresh(st)
    return OK


assert OPTIMISED not in (PLAIN_FORM, COMPACT, SUPERVISOR)
