"""The plane register file: every field of CPU state, declared once.

A plane (a VTL, a VMPL, a KVM plane) of a vCPU owns one of these C-layout blocks. Compiled code reaches a field by
pointer and byte offset, so the names below *are* the offsets; `FIELDS` gives the same table to Python views and
snapshots. Registers keep the SDM's numbering (Vol. 2A 3.1.1.1 for GPRs, Vol. 3A 3.4.2 for segment registers).
"""

from typing import NamedTuple


class Field(NamedTuple):
    """One field: `count` elements of `size` bytes, the first at byte `offset`."""

    name: str
    offset: int
    size: int
    count: int          # type: ignore[assignment]  # hides a tuple method that nobody needs here


FIELDS: dict[str, Field] = {}
_end = 0


def _at(name: str, size: int = 8, count: int = 1) -> int:
    global _end
    _end = (_end + size - 1) // size * size
    FIELDS[name] = Field(name, _end, size, count)
    _end += size * count
    return FIELDS[name].offset


# --- what a hot block touches -----------------------------------------------------------------------------------
GPR = _at("gpr", 8, 16)
ZERO = _at("zero")                  # always 0: the base, index or source of an operand that has none
RES = _at("flag_result")            # lazy flags, see jit/flags.py
AUX = _at("flag_aux")
CARRY = _at("flag_carry")
RFL = _at("rflags_other")           # RFLAGS without CF PF AF ZF SF OF
TMP = _at("tmp", 8, 8)              # between the micro-ops of one instruction
PAGE_RIP = _at("page_rip")          # RIP of byte 0 of the code page being executed
RIP = _at("rip")                    # valid at exits and after a dynamic jump
CS_BASE = _at("code_base")          # CS.base, but 0 in 64-bit mode: what turns RIP into a linear address
SLOW_VALUE = _at("slow_value")      # what a slow load read
SSP = _at("ssp")                    # shadow-stack pointer
SELF = _at("self")                  # address of this block (a compiled region works on a copy)
TLB = _at("tlb")                    # address of the TLB set in force (by CPL and SMAP)
JUMPS = _at("jumps")                # address of the jump cache in force
SHADOW_TLB = _at("shadow_tlb")      # address of the TLB set of shadow-stack accesses at this CPL
FPU = _at("fpu")                    # address of the FPU file (jit/fpu_layout.py)
VECTOR_GATE = _at("vector_gate")    # why x87, SSE or AVX instructions fault now: bits of jit/vector_gate.py
HOT_END = _end                      # a region copies [0, HOT_END) in and out
PMAP = _at("pmap")                  # address of the physical map: one word a page, see jit/pmap.py
PMAP_PAGES = _at("pmap_pages")

# --- segments: selector, base, limit, attributes (descriptor bytes 5 and 6: P DPL S type | G D L AVL in bits 15-12) --
SEG_BYTES, SEG_SELECTOR, SEG_BASE, SEG_LIMIT, SEG_ATTR = 32, 0, 8, 16, 24
ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)
SEG = _at("segments", 8, 8 * SEG_BYTES // 8)
GDTR_BASE = _at("gdtr_base")
GDTR_LIMIT = _at("gdtr_limit")
IDTR_BASE = _at("idtr_base")
IDTR_LIMIT = _at("idtr_limit")

# --- control and debug registers, CPL, MSRs that the engine itself uses ----------------------------------------------
CR0 = _at("cr0")
CR2 = _at("cr2")
CR3 = _at("cr3")
CR4 = _at("cr4")
CR8 = _at("cr8")
XCR0 = _at("xcr0")
DR = _at("dr", 8, 4)
DR6 = _at("dr6")
DR7 = _at("dr7")
DR7_ENABLED = 0xFF              # L0 to G3
CPL = _at("cpl")
LINEAR_SHIFT = _at("linear_shift")    # derived (jit/mode.py): 64 minus the bits of a linear address, 48 or 57
EFER = _at("efer")
STAR = _at("star")
LSTAR = _at("lstar")
CSTAR = _at("cstar")
SFMASK = _at("sfmask")
KERNEL_GS_BASE = _at("kernel_gs_base")
SYSENTER_CS = _at("sysenter_cs")
SYSENTER_ESP = _at("sysenter_esp")
SYSENTER_EIP = _at("sysenter_eip")
PAT = _at("pat")
TSC_AUX = _at("tsc_aux")
TSC_OFFSET = _at("tsc_offset")
APIC_BASE = _at("apic_base")
XSS = _at("xss")
U_CET = _at("u_cet")                # the words of CET's XSAVE components follow each other (jit/xsave_layout.py):
PL3_SSP = _at("pl3_ssp")            # user state ...
PL0_SSP = _at("pl0_ssp", 8, 3)      # ... and supervisor state, PL0_SSP to PL2_SSP
S_CET = _at("s_cet")
ISST = _at("isst")                  # IA32_INTERRUPT_SSP_TABLE_ADDR
DEBUGCTL = _at("debugctl")
LAST_BRANCH = _at("last_branch", 8, 2)          # LastBranchFromIP, LastBranchToIP ...
LAST_EXCEPTION = _at("last_exception", 8, 2)    # ... and LastIntFromIP, LastIntToIP
PKRS = _at("pkrs")                  # IA32_PKRS: rights of supervisor pages by protection key
PDPTE = _at("pdpte", 8, 4)          # PAE page-directory pointers, loaded with CR3 (SDM 3A 4.4.1)

# --- derived from the above whenever they change (jit/mode.py) -------------------------------------------------------
MODE = _at("mode")                  # how code is decoded: MODE_* bits below
JUMP_KEY = _at("jump_key")          # what a jump-cache tag holds besides the address: MODE and CS's base and limit
TLB_SET = _at("tlb_set")            # index of the TLB set in force
SETS = _at("tlb_sets")              # address of the TLB_SETS sets of this plane
PHYS_MASK = _at("phys_mask")        # physical address bits that exist
CR4_VALID = _at("cr4_valid")        # CR4 bits that the CPU model has
EFER_VALID = _at("efer_valid")      # EFER bits that software may set
XCR0_VALID = _at("xcr0_valid")      # XCR0 bits that software may set
XSS_VALID = _at("xss_valid")        # IA32_XSS bits likewise; -1: there is none
CET_VALID = _at("cet_valid")        # bits of IA32_U_CET and IA32_S_CET below the bitmap's address, likewise
VENDOR = _at("vendor")              # VENDOR_INTEL or VENDOR_AMD, where their manuals differ
A20_MASK = _at("a20_mask")

# --- leaving compiled code -------------------------------------------------------------------------------------------
EXIT = _at("exit")                  # EXIT_* of jit/exits.py
EXIT_UOP = _at("exit_uop")          # micro-op at which it left
NEXT_RIP = _at("next_rip")          # RIP after the instruction that Python is to carry out
RESUME = _at("resume")              # 1: go on at EXIT_UOP, inside an instruction
ALONE = _at("alone")                # 1: the slice ends after the instruction that is being executed
DEBUG_HITS = _at("debug_hits")      # bits 3:0: breakpoints that it hit, jit/watch.py
PROBE_HITS = _at("probe_hits")      # bits of jit/probe_layout.py: what a debugger wants to know of the instruction
FAULT_PENDING = _at("fault_pending")    # 1: FAULT_* wait to be delivered
FAULT_VECTOR = _at("fault_vector")
FAULT_ERROR = _at("fault_error")
FAULT_HAS_ERROR = _at("fault_has_error")
FAULT_ADDRESS = _at("fault_address")    # becomes CR2 when a #PF is delivered
FAULT_KIND = _at("fault_kind")          # KIND_* of jit/fault.py: what sort of event FAULT_* describes
FAULT_EXT = _at("fault_ext")            # EXT bit of error codes while an event is being delivered (SDM 3A 6.13)
WALK_GPA = _at("walk_gpa")
WALK_RIGHTS = _at("walk_rights")
IO_KIND = _at("io_kind")
IO_ADDRESS = _at("io_address")
IO_SIZE = _at("io_size")
IO_VALUE = _at("io_value")
IO_DONE = _at("io_done")            # device accesses already made by the micro-op being retried ...
IO_NEXT = _at("io_next")            # ... how many of them this retry has replayed ...
IO_LOGGED = 512                     # XRSTOR of every component from a device makes 345
IO_LOG = _at("io_log", 8, IO_LOGGED)    # ... and the values they gave
BRANCH_AT = _at("branch_at")        # RIP of the instruction that BRANCHES counted last
SMC_PASS = _at("smc_pass")          # 1: the store that hit decoded code may go through
SMC_GPA = _at("smc_gpa")
SMC_SECOND = _at("smc_second")      # another page whose code the passing instruction overwrote, + 1; else 0

# --- operands and results of the runtime functions of system instructions (jit/descriptor.py, jit/frame.py, ...) -----
ARG = _at("arg", 8, 4)
DESC = _at("desc")                  # descriptor that was read last ...
DESC_AT = _at("desc_at")            # ... and its linear address
FRAME = _at("frame", 8, 48)         # words to push, or popped
STK_SP = _at("stk_sp")              # the stack that a frame is on, which need not be the current one
STK_WIDTH = _at("stk_width")        # 16, 32 or 64
STK_SELECTOR = _at("stk_selector")
STK_BASE = _at("stk_base")
STK_LIMIT = _at("stk_limit")
STK_ATTR = _at("stk_attr")
STK_ERROR = _at("stk_error")        # error code of #SS when the frame exceeds it

# --- activity and events ---------------------------------------------------------------------------------------------
ACTIVITY = _at("activity")          # a name of emu/waiting.py; 0: running
INTERRUPT = _at("interrupt")        # 1: the interrupt controller asserts INTR; UNMASKABLE: an event whatever RFLAGS.IF
NMI = _at("nmi")                    # 1: NMI latched
NMI_BLOCKED = _at("nmi_blocked")    # until IRET (SDM 3A 6.7.1)
SMI = _at("smi")                    # 1: SMI pending (emu/smm.py) ...
SMM = _at("smm")                    # ... 1: in system-management mode, where SMIs wait
SMBASE = _at("smbase")
SHADOW = _at("shadow")              # STI (1) or MOV SS (2) blocks events for one instruction (SDM 3A 6.8.3)
NO_TRAP = _at("no_trap")            # 1: the instruction that just ended is not followed by a single-step trap
BUDGET = _at("budget")              # instructions left in this slice
REP_LEFT = _at("rep_left")          # while a REP micro-op runs: instructions left after this iteration
ICOUNT = _at("icount")              # instructions retired by this plane's vCPU at the end of the slice
BRANCHES = _at("branches")          # branches retired by this plane, where they are counted (jit/branch_trace.py)
IDLE_FAULTS = _at("idle_faults")    # exceptions delivered since an instruction last retired
SAMPLE = _at("sample")              # instructions until the run loop next notes what is hot; 0: never
SAMPLE_BASE = _at("sample_base")    # SAMPLE where nothing is compiled yet
HEAT_LIMIT = _at("heat_limit")      # samples that make a micro-op hot
TSC_BASE = _at("tsc_base")          # TSC at the slice's end, so that TSC = base - budget * scale
TSC_SCALE = _at("tsc_scale")
TSC_RATIO = _at("tsc_ratio")          # guest TSC / machine TSC with 32 fraction bits (APM Vol. 2 15.36.18) ...
TSC_RATIO_ONE = 1 << 32              # ... which are the same but in SNP guests
RANDOM = _at("random")              # state of the generator behind RDRAND and RDSEED (jit/semantics/random.py)

# --- waiting instructions (jit/monitor.py) ---------------------------------------------------------------------------
WAIT_RULES = _at("wait_rules")      # WAIT_* bits below
PAUSES = _at("pauses")              # PAUSEs until one leaves under PAUSE_LEAVES; 0 and 1: the next one does

# --- what a more privileged plane denies and intercepts -------------------------------------------------------------
DENIALS = _at("denials")            # address of the map of denied accesses, a byte a page (jit/second_stage.py), or 0
DENIED_GPA = _at("denied_gpa")      # the access that was denied last: guest-physical address ...
DENIED_ACCESS = _at("denied_access")    # ... 0 read, 1 write, 2 fetch ...
DENIED_HOW = _at("denied_how")      # ... HOW_* bits of jit/guards.py ...
DENIED_LINEAR = _at("denied_linear")    # ... and the linear address that was being translated
NESTED = _at("nested")              # SEV-SNP: address of the nested page table (jit/second_stage.py), or 0 ...
NESTED_PAGES = _at("nested_pages")  # ... and the guest-physical pages that it has
C_BIT = _at("c_bit")                # SEV: the encryption bit of page-table entries, or 0
VIRTUAL_TOM = _at("virtual_tom")    # SEV-SNP: data from this address on is shared, where vTOM is active; else 0
GHCB = _at("ghcb")                  # SEV-ES: the GHCB MSR
SNP_ACTIVE = _at("snp_active")      # 1: the plane is a VMPL of an SEV-SNP guest
VMPL_SSS = _at("vmpl_sss")          # 1: supervisor shadow stacks need a permission of their own (APM Vol. 2 15.36.7)
TRAPS = _at("traps")                # set of intercepted register accesses (jit/traps.py)
TRAP_CR0 = _at("trap_cr0")          # bits of CR0 and CR4 whose change is intercepted
TRAP_CR4 = _at("trap_cr4")
TRAPPED = _at("trapped")            # the access that was intercepted last
INJECTED = _at("injected")          # 1: the pending event comes from a more privileged plane, and is not intercepted
NPIEP = _at("npiep")                # Hyper-V: NPIEP_* of instructions that are #GP above CPL 0

# --- what the TLB's entries depend on besides the page tables ---------------------------------------------------------
KEYS_USED = _at("keys_used")        # protection keys of the user pages in the TLB, a bit each ...
KEYS_RIGHTS = _at("keys_rights")    # ... and PKRU as it was for them (jit/protection_keys.py)
PKRU_ASIDE = _at("pkru_aside")      # 1 << 32 | PKRU while another plane works on the FPU file; 0: PKRU is in there
WP_IGNORED = _at("wp_ignored")      # 1: the TLB may grant writes that only CR0.WP = 0 allows
FILL_LIMIT = 256
FILLS = _at("fills")                # entries filled since the last flush; beyond the limit nobody knows which
FILLED = _at("filled", 8, FILL_LIMIT)   # host address of each, with FILLED_* (jit/tlb.py)

# --- the machine, the same for all planes ----------------------------------------------------------------------------
MONITORS = _at("monitors")          # address of the table of monitored lines, see jit/monitor.py
CODE = _at("code")                  # address of the code directory: one word a page, see jit/uops.py
CODE_MAP = _at("code_map")          # address of the map of decoded bytes: a bit for 64 bytes, one word a page
RUNTIME = _at("runtime")            # address of the table of lazily compiled runtime functions
HANDLERS = _at("handlers")          # address of the table of interpreter handlers, by op id
PROBES = _at("probes")              # address of the debugger's table (jit/probe_layout.py), 0: there is none
VCPU = _at("vcpu")
GROUP = _at("group")                # address of the vCPU's group (jit/group_layout.py)
PLANE = _at("plane")

STATE_BYTES = (_end + 63) // 64 * 64

# --- WAIT_RULES bits -------------------------------------------------------------------------------------------------
WAIT_DISABLED, WAIT_BY_USERS, PAUSE_LEAVES = 1, 2, 4     # MONITOR and MWAIT: #UD; not #UD above CPL 0. PAUSE: to Python

# --- NPIEP bits (TLFS, HV_X64_MSR_NPIEP_CONFIG) ----------------------------------------------------------------------
NPIEP_SGDT, NPIEP_SIDT, NPIEP_SLDT, NPIEP_STR = 1, 2, 4, 8

# --- MODE bits -------------------------------------------------------------------------------------------------------
MODE_16, MODE_32, MODE_64 = 0, 1, 2     # bits 1:0, size of code
MODE_STACK32 = 4                        # SS.B (outside 64-bit mode)
MODE_FLAT_CODE = 8                      # CS.limit cannot be exceeded, no check needed
MODE_SHADOW, MODE_TRACK, MODE_WAIT = 16, 32, 64     # CET, jit/cet.py
VENDOR_INTEL, VENDOR_AMD = 0, 1
UNMASKABLE = 2

# --- TLB set: data entries, code entries, jump cache, watched lines ---------------------------------------------------
TLB_SETS = 6            # supervisor, user, supervisor under SMAP, user with alignment checking, shadow stacks of users
SET_SUPERVISOR, SET_USER, SET_SMAP, SET_ALIGN, SET_SHADOW_USER, SET_SHADOW = range(TLB_SETS)     # and of supervisors
DATA_ENTRIES, DATA_SHIFT = 512, 5       # tag for reads, tag for writes, host minus linear address, GPA of the page
CODE_ENTRIES, CODE_SHIFT = 256, 4       # tag, GPA of the page
JUMP_ENTRIES, JUMP_SHIFT = 2048, 4      # linear address mixed with MODE, micro-op
TLB_READ, TLB_WRITE, TLB_ADDEND, TLB_GPA = 0, 8, 16, 24
CODE_TLB = DATA_ENTRIES << DATA_SHIFT
JUMP_CACHE = CODE_TLB + (CODE_ENTRIES << CODE_SHIFT)
CODE_FILTER = JUMP_CACHE + (JUMP_ENTRIES << JUMP_SHIFT)    # a bit for each page hash that code was fetched from
FILTER_BITS = 4096
SET_USED = CODE_FILTER + FILTER_BITS // 8                   # 1: the set may have valid entries
TLB_LINES = SET_USED + 64                  # a data entry's set of lines lies so far after it
SET_BYTES = TLB_LINES + (DATA_ENTRIES << DATA_SHIFT)
LINE_SHIFT = 6
TLB_INVALID = 1                         # a tag that no page-aligned address equals
TLB_WATCHED = 2                         # in a tag: accesses that begin in TLB_LINES may touch what is watched


def gpr(number: int) -> int:
    """Byte offset of general register `number`, 0 (RAX) to 15 (R15)."""
    return GPR + 8 * number


def seg(number: int, part: int = 0) -> int:
    """Byte offset of a part (SEG_SELECTOR ... SEG_ATTR) of segment register `number`."""
    return SEG + SEG_BYTES * number + part
