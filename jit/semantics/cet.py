"""Near transfers under CET, and its instructions (SDM Vol. 2: CALL, RET, JMP, CLRSSBSY, ENDBR32, ENDBR64, INCSSP,
RDSSP, RSTORSSP, SAVEPREVSSP, SETSSBSY, WRSS, WRUSS; Vol. 1 chapter 17)."""

from jit.access import probe, slow_load, store
from jit.cet import (
    CR4_CET,
    ENDBR32,
    ENDBR64,
    ENDBRANCH,
    LEG_IW_EN,
    NEAR_RET,
    NO_TRACK_EN,
    SETSSBSY,
    SUPPRESS,
    SUPPRESS_DIS,
    TRACKER,
    WR_SHSTK_EN,
    control_protection,
    control_slot,
    load_shadow,
    probe_shadow,
    shadow_enabled,
    store_shadow,
    track,
)
from jit.cet import RSTORSSP as BAD_TOKEN
from jit.exits import OK, STALE
from jit.fault import general_protection, undefined_opcode
from jit.flags import get_cf, set_status
from jit.layout import (
    CPL,
    CR4,
    CS_BASE,
    MODE,
    MODE_64,
    PAGE_RIP,
    PL0_SSP,
    RIP,
    SLOW_VALUE,
    SSP,
)
from jit.mode import refresh
from jit.native import Handler, State, inline, rd64, shr, wr64
from jit.registry import END, JUMP, op
from jit.semantics.control import jump_to
from jit.semantics.operands import WIDE, effective, read, write
from jit.semantics.segmentation import WRITE
from jit.semantics.stacking import peek, set_stack_pointer, stack_linear, stack_pointer
from jit.shadow_stack import BUSY
from jit.slow import SHADOW, STACK, SUPERVISOR

CF, PREVIOUS, ALIGNED4 = 1, 2, 4            # RFLAGS.CF; bit 1 of a previous-SSP token; bit 2 of the address in a token


@inline
def is_long(st: State) -> int:
    """1 in 64-bit mode: the L flag of tokens."""
    return 1 if rd64(st, MODE) & 3 == MODE_64 else 0


# --- near calls and returns ---------------------------------------------


@inline
def push_return(st: State, value: int, width: int, stack: int, shadow: int) -> int:
    """Push a return address, on the shadow stack too if `shadow`: OK, or a status and nothing changed."""
    size, entry = width // 8, 8 if width == 64 else 4
    pointer, ssp = stack_pointer(st, stack) - size, rd64(st, SSP) - entry
    linear, status = stack_linear(st, pointer, size, WRITE, stack)
    if status == OK and shadow:
        status = probe(st, linear, size, STACK)
        if status == OK:
            status = probe_shadow(st, ssp, entry)
    if status == OK:
        status = store(st, linear, size, STACK, value)
    if status == OK and shadow:
        status = store_shadow(st, ssp, entry, value if width == 64 else value & ((1 << width) - 1))
    if status == OK:
        set_stack_pointer(st, pointer, stack)
        if shadow:
            wr64(st, SSP, ssp)
    return status


@op("call_shadow", *((w, s) for w in WIDE for s in WIDE), kind=JUMP)
def call_shadow(width: int, stack: int) -> Handler:
    """`a` + PAGE_RIP is the return address; `imm` + PAGE_RIP the target."""
    def call_shadow(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip = rd64(st, RIP)
        status = jump_to(st, rd64(st, PAGE_RIP) + imm, width, d)
        if status == OK:
            status = push_return(st, rd64(st, PAGE_RIP) + a, width, stack, True)
            if status != OK:
                wr64(st, RIP, rip)
        return status
    return call_shadow


@op("call_reg_cet", *((w, s, k, t) for w in WIDE for s in WIDE for k in (0, 1) for t in (0, 1)), kind=JUMP)
def call_register(width: int, stack: int, shadow: int, tracks: int) -> Handler:
    """`a`: slot of the target; `imm` + PAGE_RIP is the return address. Pushes to the shadow stack if `shadow`; the
    target has to be an ENDBRANCH if `tracks`."""
    endbranch = ENDBR64 if width == 64 else ENDBR32

    def call_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip, target = rd64(st, RIP), read(st, a, width)
        pointer, ssp = stack_pointer(st, stack), rd64(st, SSP)
        status = push_return(st, rd64(st, PAGE_RIP) + imm, width, stack, shadow)
        if status != OK:
            return status
        status = jump_to(st, target, width)
        if status == OK and tracks:
            status = track(st, target, endbranch)
        if status != OK:
            set_stack_pointer(st, pointer, stack)
            wr64(st, SSP, ssp)
            wr64(st, RIP, rip)
        return status
    return call_register


@op("jmp_reg_track", *WIDE, kind=JUMP)
def jmp_register(width: int) -> Handler:
    """`a`: slot of the target, which has to be an ENDBRANCH."""
    endbranch = ENDBR64 if width == 64 else ENDBR32

    def jmp_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip, target = rd64(st, RIP), read(st, a, width)
        status = jump_to(st, target, width)
        if status == OK:
            status = track(st, target, endbranch)
            if status != OK:
                wr64(st, RIP, rip)
        return status
    return jmp_register


@op("ret_shadow", *((w, s) for w in WIDE for s in WIDE), kind=JUMP)
def ret_shadow(width: int, stack: int) -> Handler:
    """`imm`: bytes to release beyond the return address."""
    size, entry = width // 8, 8 if width == 64 else 4

    def ret_shadow(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        expected, status = load_shadow(st, rd64(st, SSP), entry)
        if status != OK:
            return status
        if rip != expected:
            return control_protection(st, NEAR_RET)
        status = jump_to(st, rip, width)
        if status == OK:
            set_stack_pointer(st, stack_pointer(st, stack) + size + imm, stack)
            wr64(st, SSP, rd64(st, SSP) + entry)
        return status
    return ret_shadow


# --- the branch tracker ---------------------------------------------


@op("check_notrack", *((w, s, k) for w in WIDE for s in (0, *WIDE) for k in (0, 1)), kind=JUMP)
def check_notrack(width: int, stack: int, shadow: int) -> Handler:
    """A near indirect JMP (`stack` 0) or CALL with the prefix NOTRACK, which counts under NO_TRACK_EN; operands as
    those of the others."""
    endbranch = ENDBR64 if width == 64 else ENDBR32

    def check_notrack(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip, target = rd64(st, RIP), read(st, a, width)
        pointer, ssp, status = stack_pointer(st, 64), rd64(st, SSP), OK
        if stack:
            status = push_return(st, rd64(st, PAGE_RIP) + imm, width, stack, shadow)
        if status == OK:
            status = jump_to(st, target, width)
            if status == OK and rd64(st, control_slot(rd64(st, CPL))) & NO_TRACK_EN == 0:
                status = track(st, target, endbranch)
            if status != OK:
                set_stack_pointer(st, pointer, 64)
                wr64(st, SSP, ssp)
                wr64(st, RIP, rip)
        return status
    return check_notrack


@op("endbranch", kind=END)
def endbranch(st: State, d: int, a: int, b: int, imm: int) -> int:
    """ENDBR32 or ENDBR64 while the tracker waits or is suppressed."""
    slot = control_slot(rd64(st, CPL))
    wr64(st, slot, rd64(st, slot) & ~(TRACKER | SUPPRESS))
    refresh(st)
    return OK


@op("missing_endbranch", kind=END)
def missing_endbranch(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Any other instruction while the tracker waits: #CP, unless it is on a page that the legacy code page bitmap lets
    be entered; it is then decoded again, with the tracker idle (SDM Vol. 1 17.3.6). `imm`: where it starts in its
    page."""
    slot = control_slot(rd64(st, CPL))
    control = rd64(st, slot)
    if control & LEG_IW_EN == 0:
        return control_protection(st, ENDBRANCH)
    linear = rd64(st, PAGE_RIP) + rd64(st, CS_BASE) + imm
    if rd64(st, MODE) & 3 != MODE_64:
        linear &= 0xFFFFFFFF
    status = slow_load(st, (control & ~0xFFF) + shr(linear, 15), 1)
    if status != OK:
        return status
    if shr(rd64(st, SLOW_VALUE), shr(linear, 12) & 7) & 1 == 0:
        return control_protection(st, ENDBRANCH)
    control &= ~TRACKER
    wr64(st, slot, control if control & SUPPRESS_DIS else control | SUPPRESS)
    refresh(st)
    return STALE


# --- instructions about shadow stacks ---------------------------------------------


@op("check_shadow")
def check_shadow(st: State, d: int, a: int, b: int, imm: int) -> int:
    """#UD without a shadow stack at this CPL; with imm = 1 without leave to write it (WRSS), too."""
    if not shadow_enabled(st, rd64(st, CPL)):
        return undefined_opcode(st)
    if imm and rd64(st, control_slot(rd64(st, CPL))) & WR_SHSTK_EN == 0:
        return undefined_opcode(st)
    return OK


@op("check_supervisor_shadow")
def check_supervisor_shadow(st: State, d: int, a: int, b: int, imm: int) -> int:
    """SETSSBSY, CLRSSBSY: #UD without a supervisor shadow stack, then CPL 0. imm = 1 (WRUSS): CR4.CET is enough."""
    if rd64(st, CR4) & CR4_CET == 0 or (imm == 0 and not shadow_enabled(st, 0)):
        return undefined_opcode(st)
    return OK if rd64(st, CPL) == 0 else general_protection(st, 0)


@op("rdssp", 32, 64)
def rdssp(width: int) -> Handler:
    def rdssp(st: State, d: int, a: int, b: int, imm: int) -> int:
        """A no-operation without a shadow stack."""
        if shadow_enabled(st, rd64(st, CPL)):
            write(st, d, width, rd64(st, SSP))
        return OK
    return rdssp


@op("incssp", 32, 64)
def incssp(width: int) -> Handler:
    size = width // 8

    def incssp(st: State, d: int, a: int, b: int, imm: int) -> int:
        """Pop slot a's low byte of entries, of which the first and the last are read."""
        count, ssp = read(st, a, 8), rd64(st, SSP)
        _, status = load_shadow(st, ssp, size)
        if status == OK:
            _, status = load_shadow(st, ssp + size * (count - 1 if count else 0), size)
        if status == OK:
            wr64(st, SSP, ssp + size * count)
        return status
    return incssp


@op("wrss", 32, 64)
def wrss(width: int) -> Handler:
    size = width // 8

    def wrss(st: State, d: int, a: int, b: int, imm: int) -> int:
        """Store slot d on a shadow stack."""
        linear = effective(st, a, b, imm)
        if linear & (size - 1):
            return general_protection(st, 0)
        return store_shadow(st, linear, size, read(st, d, width))
    return wrss


@op("wruss", 32, 64)
def wruss(width: int) -> Handler:
    size = width // 8

    def wruss(st: State, d: int, a: int, b: int, imm: int) -> int:
        """Store slot d on a user's shadow stack."""
        linear = effective(st, a, b, imm)
        if linear & (size - 1):
            return general_protection(st, 0)
        return store(st, linear, size, SHADOW | SUPERVISOR, read(st, d, width))
    return wruss


@op("rstorssp")
def rstorssp(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Take the shadow-stack-restore token at an address as the top of the stack; a previous-SSP token replaces it."""
    at, long = effective(st, a, b, imm), is_long(st)
    if at & 7:
        return general_protection(st, 0)
    status = probe_shadow(st, at, 8)
    if status != OK:
        return status
    token, status = load_shadow(st, at, 8)
    if status != OK:
        return status
    if token & 3 != long or (not long and shr(token, 32)) or ((token & ~1) - 8) & ~7 != at:
        return control_protection(st, BAD_TOKEN)
    status = store_shadow(st, at, 8, rd64(st, SSP) | long | PREVIOUS)
    if status == OK:
        wr64(st, SSP, at)
        set_status(st, CF if token & ALIGNED4 else 0)
    return status


@op("saveprevssp")
def saveprevssp(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Pop the previous-SSP token, and push a restore token on the stack that it names."""
    ssp, long = rd64(st, SSP), is_long(st)
    if ssp & 7:
        return general_protection(st, 0)
    token, status = load_shadow(st, ssp, 8)
    if status != OK:
        return status
    ssp += 8
    if get_cf(st):
        if long:
            return general_protection(st, 0)
        hole, status = load_shadow(st, ssp, 4)
        if status != OK:
            return status
        if hole:
            return general_protection(st, 0)
        ssp += 4
    if token & PREVIOUS == 0 or (not long and shr(token, 32)):
        return general_protection(st, 0)
    old = token & ~3
    status = probe_shadow(st, old - 4, 4)
    if status == OK:
        status = probe_shadow(st, (old & ~7) - 8, 8)
    if status == OK:
        status = store_shadow(st, old - 4, 4, 0)
    if status == OK:
        status = store_shadow(st, (old & ~7) - 8, 8, old | long)
    if status == OK:
        wr64(st, SSP, ssp)
    return status


@op("setssbsy")
def setssbsy(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Mark the token of IA32_PL0_SSP busy and use its stack."""
    at = rd64(st, PL0_SSP)
    if at & 7:
        return general_protection(st, 0)
    status = probe_shadow(st, at, 8)
    if status != OK:
        return status
    token, status = load_shadow(st, at, 8)
    if status != OK:
        return status
    if token != at:
        return control_protection(st, SETSSBSY)
    status = store_shadow(st, at, 8, at | BUSY)
    if status == OK:
        wr64(st, SSP, at)
    return status


@op("clrssbsy")
def clrssbsy(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Mark the token at an address free; CF says that it was no busy token. There is no shadow stack in use then."""
    at = effective(st, a, b, imm)
    if at & 7:
        return general_protection(st, 0)
    status = probe_shadow(st, at, 8)
    if status != OK:
        return status
    token, status = load_shadow(st, at, 8)
    if status != OK:
        return status
    if token == at | BUSY:
        status = store_shadow(st, at, 8, at)
        if status != OK:
            return status
    set_status(st, 0 if token == at | BUSY else CF)
    wr64(st, SSP, 0)
    return status
