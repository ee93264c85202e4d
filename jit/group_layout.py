"""The block of a vCPU group: the planes of one vCPU, which of them runs, and a record of every switch.

Declared once, like the register file of jit/layout.py; every field is a 64-bit word. Planes are numbered from 0, and a
set of planes is a bitmap by that number.
"""

from collections.abc import Sequence

MAX_PLANES = 16
MAX_SHARED = 32         # pieces of the register file that a policy's planes share
_end = 0


def _words(count: int = 1) -> int:
    global _end
    offset, _end = _end, _end + 8 * count
    return offset


COUNT = _words()                # planes that exist
ACTIVE = _words()               # the plane that runs
ENABLED = _words()              # set of planes that the guest has enabled
RUNNABLE = _words()             # subset of ENABLED, the lowest always in it; the highest of it is ACTIVE
INTERFACE = _words()            # INTERFACE_*: what VMCALL and VMMCALL mean
SLICE_END = _words()            # instruction count of the clock at which BUDGET is used up
SWITCHES = _words()             # switches so far; record n is ring entry n modulo RING_RECORDS
RING = _words()                 # address of the ring of switch records, 0: none is kept
RING_RECORDS = _words()         # its length, a power of two
FILES = _words(MAX_PLANES)      # addresses of the register files
CONTROL = _words(MAX_PLANES)    # VSM: VP_ASSIST_PAGE MSR of each VTL (page address, bit 0 enable)
FORCED = _words()               # 1 + a plane to enter before anything else runs, whatever waits; 0: none
FORCED_CAUSE = _words()         # why: CAUSE_*
NOTIFY = _words()               # set of planes that want to know, when entered, of interrupts waiting for lower ones
NOTIFY_RESET = _words()         # VSM: those of them whose notification is forgotten when they return
LOCKING = _words()              # VSM: set of planes whose return Python prepares, because they hold TLB locks
SHARED_COUNT = _words()
SHARED = _words(2 * MAX_SHARED)     # (offset in the register file, words) of what a switch carries over
GROUP_BYTES = (_end + 63) // 64 * 64

INTERFACE_NONE, INTERFACE_VSM, INTERFACE_OTHER = 0, 1, 2      # OTHER: whatever Python says
RETURN_ACTIONS = 0x170          # VSM: offset in a VP assist page of its list of return actions; 0 there if it is empty

# --- a switch record -------------------------------------------------------------------------------------------------
RECORD_BYTES, RECORD_SHIFT = 64, 6
REC_ICOUNT, REC_FROM, REC_TO, REC_CAUSE, REC_RIP_FROM, REC_RIP_TO = range(0, 48, 8)

CAUSE_CALL, CAUSE_RETURN, CAUSE_FAST_RETURN, CAUSE_INTERRUPT, CAUSE_INTERCEPT, CAUSE_START = 1, 2, 3, 4, 5, 6
CAUSE_NAMES = {CAUSE_CALL: "call", CAUSE_RETURN: "return", CAUSE_FAST_RETURN: "fast return",
               CAUSE_INTERRUPT: "interrupt", CAUSE_INTERCEPT: "intercept", CAUSE_START: "start"}

SharedSet = Sequence[tuple[int, int]]       # (offset, words) pieces of a register file
