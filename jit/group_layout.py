"""The block of a vCPU group: the planes of one vCPU, which of them runs, and a record of every switch.

Declared once, like the register file of jit/layout.py; every field is a 64-bit word. Planes are numbered from 0, and a
set of planes is a bitmap by that number.
"""

from collections.abc import Sequence

MAX_PLANES = 16
ALL_PLANES = (1 << MAX_PLANES) - 1
MAX_SHARED = 32         # pieces of the register file that a policy's planes share
_end = 0


def _words(count: int = 1) -> int:
    global _end
    offset, _end = _end, _end + 8 * count
    return offset


COUNT = _words()                # planes that exist
ACTIVE = _words()               # the plane that runs
ENABLED = _words()              # set of planes that the guest has enabled
RUNNABLE = _words()             # what may run; but VSM, MODE_EVENT, MODE_USER: ACTIVE and what it interrupted
INTERFACE = _words()            # INTERFACE_*: what VMCALL and VMMCALL mean
SLICE_END = _words()            # instruction count of the clock at which BUDGET is used up
SWITCHES = _words()             # switches so far; record n is ring entry n modulo RING_RECORDS
RING = _words()                 # address of the ring of switch records, 0: none is kept
RING_RECORDS = _words()         # its length, a power of two
FILES = _words(MAX_PLANES)      # addresses of the register files
CONTROL = _words(MAX_PLANES)    # VSM: VP_ASSIST_PAGE MSR of each VTL (page address, bit 0 enable)
FORCED = _words()               # 1 + a plane to enter before anything else runs, whatever waits; 0: none
FORCED_CAUSE = _words()         # why: CAUSE_*
FORCED_RIP = _words()           # RIP of the instruction that caused it, where that has retired already; 0: RIP
NOTIFY = _words()               # set of planes that want to know of interrupts waiting for less privileged ones (VINA)
NOTIFY_RESET = _words()         # those of them whose notification is forgotten when they return, or are entered
NOTIFIED = _words()             # those that were told and are not told again; VSM has that in assist pages
NOTIFY_VECTOR = _words(MAX_PLANES)      # the interrupt that tells each, but for VSM
LOCKING = _words()              # VSM: set of planes whose return Python prepares, because they hold TLB locks
# --- which plane runs, where INTERFACE is INTERFACE_POLICY or INTERFACE_VSM (jit/selector.py) ------------------------
MODE = _words()                 # MODE_*
RANK = _words(MAX_PLANES)       # privilege of each plane: smaller is more privileged
MPP = _words()                  # 1 + the most privileged plane, where the policy has such a marker; 0: none
FILTER = _words()               # FILTER_*: which interrupts count
STRICT_SHADOW = _words()        # 1: the STI or MOV SS shadow of a plane that does not run holds its interrupts back
RETURN_RULE = _words()          # RETURN_*
FALLBACK = _words()             # plane that runs when none is runnable
MEDIATED = _words()             # MODE_MPP, 1: events of the active plane are the most privileged one's, too
ENTERED = _words()              # set of planes that have something to run: an initial context, or were entered before
BLOCKED = _words()              # set of planes that are not to be entered by force
WAITING = _words()              # set of planes whose IRR is not empty
REQUESTED = _words()            # MODE_USER: set of planes for whose events to leave (KVM: req_exit_planes)
PENDING = _words()              # ... and those of them that had some (KVM: pending_event_planes)
NOTICES = _words()              # MODE_MPP: set of planes of whose events the most privileged one has not asked yet
NOTICED = _words()              # ... and of those that it has been entered for
CAUSE = _words()                # why the next switch happens
SCRIPT_CHOOSE = _words()        # MODE_SCRIPT: addresses of the two functions (jit/script.py) ...
SCRIPT_REQUEST = _words()
SCRIPT_FAULT = _words()         # ... SCRIPT_FAULT_*: what was wrong with an answer ...
SCRIPT_ANSWER = _words()        # ... and which it was
SCRIPT_ICOUNT = _words()        # instruction count at the last switch, and switches since then
SCRIPT_IDLE = _words()
SCRIPT_FUEL = _words()          # steps left for the answer to a question, or FUEL_*
SCRIPT_SPENT = _words()         # steps that answers took since Python last looked
# --- SEV-SNP (jit/vmgexit.py) ----------------------------------------------------------------------------------------
SNP = _words()                  # 1: planes are VMPLs, whose registers are in VMSAs; entering one by policy is Python's
SNP_DIRECT = _words()           # 1: compiled code serves requests to run another VMPL that need no hypervisor's thought
VMSAS = _words(MAX_PLANES)      # host addresses of the VMSA pages that the RMP allows to run, or 0
VMSA_FEATURES = _words(MAX_PLANES)      # SEV_FEATURES that each register file is set up for
GHCBS = _words(MAX_PLANES)      # the GHCB that each VMPL has registered, or 0
SHARED_COUNT = _words()
SHARED = _words(2 * MAX_SHARED)     # (offset in the register file, words) of what a switch carries over
GROUP_BYTES = (_end + 63) // 64 * 64

INTERFACE_NONE, INTERFACE_VSM, INTERFACE_OTHER, INTERFACE_POLICY = 0, 1, 2, 3     # OTHER: whatever Python says
RETURN_ACTIONS = 0x170          # VSM: offset in a VP assist page of its list of return actions; 0 there if it is empty
MODE_USER, MODE_RUNNABLE, MODE_EVENT, MODE_MPP, MODE_SCRIPT = 0, 1, 2, 3, 4
FILTER_INJECTABLE, FILTER_PRIORITY, FILTER_ANY = 0, 1, 2     # that can be taken; that TPR and PPR let through; in IRR
RETURN_LAST, RETURN_NEXT_LOWER, RETURN_EXPLICIT = 0, 1, 2
SCRIPT_FAULT_CHOOSE, SCRIPT_FAULT_REQUEST, SCRIPT_FAULT_STALLED = 1, 2, 3
SCRIPT_IDLE_LIMIT = 4 * MAX_PLANES
SCRIPT_FUEL_LIMIT, SCRIPT_SPENT_LIMIT = 50_000, 1_000_000
FUEL_GONE, FUEL_DIVISION, FUEL_SHIFT = -1, -2, -3       # of SCRIPT_FUEL: it is used up; no answer: x // 0; 1 << -1
PLANE_CALL, PLANE_RETURN, RUN_PLANE, PLANE_NOTICES = 0x11, 0x12, 0x80000018, 0x80005001     # RAX of a hypercall

# --- a switch record -------------------------------------------------------------------------------------------------
RECORD_BYTES, RECORD_SHIFT = 64, 6
REC_ICOUNT, REC_FROM, REC_TO, REC_CAUSE, REC_RIP_FROM, REC_RIP_TO = range(0, 48, 8)

CAUSE_CALL, CAUSE_RETURN, CAUSE_FAST_RETURN, CAUSE_INTERRUPT, CAUSE_INTERCEPT, CAUSE_START, CAUSE_RUN = range(1, 8)
CAUSE_NAMES = {CAUSE_CALL: "call", CAUSE_RETURN: "return", CAUSE_FAST_RETURN: "fast return",
               CAUSE_INTERRUPT: "interrupt", CAUSE_INTERCEPT: "intercept", CAUSE_START: "start", CAUSE_RUN: "run"}

SharedSet = Sequence[tuple[int, int]]       # (offset, words) pieces of a register file
