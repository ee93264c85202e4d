"""The debugger's table that compiled code consults, and the records in it. Every field is a 64-bit word.

The machine owns one table for all its planes; a plane's PROBES holds its address while there is something to look for.
A record describes one breakpoint or watchpoint. Compiled code evaluates all of it but a condition that is more than one
comparison; what passes goes to Python.
"""

_end = 0


def _words(count: int = 1) -> int:
    global _end
    offset, _end = _end, _end + 8 * count
    return offset


# --- a record --------------------------------------------------------------------------------------------------------
ON = _words()               # 0: it is passed over
ADDRESS = _words()          # of a probe: linear address, or RIP, of its page; of a watchpoint: first byte
LENGTH = _words()           # bytes watched
KINDS = _words()            # accesses watched: READ_BIT, WRITE_BIT
SPACE = _words()            # what the watched address is: LINEAR or PHYSICAL
MASK, LOW, SPAN, EXCEPT = _words(), _words(), _words(), _words()    # (value & MASK) - LOW <= SPAN, unless EXCEPT = 1
PLANES = _words()           # set of planes, by number
ONE_VCPU = _words()         # a vCPU's index, or -1: any
HITS = _words()             # how often all of the above was true
IGNORE = _words()           # hits that are only counted
RECORD_BYTES = 128
assert _end <= RECORD_BYTES

LINEAR, PHYSICAL = 0, 1
READ_BIT, WRITE_BIT = 1, 2

# --- the table -------------------------------------------------------------------------------------------------------
_end = 0
VECTORS = _words(4)         # set of interrupt and exception vectors whose delivery is reported
SWITCHES = _words()         # 1: plane switches are reported
HIT_LINEAR, HIT_GPA, HIT_SIZE, HIT_KIND = _words(), _words(), _words(), _words()    # the access that was noted ...
HIT_VALUE, HIT_OLD = _words(), _words()         # ... the value that a store writes, and the one that was there
HIT_VECTOR = _words()       # the vector that was delivered
COUNT = _words()            # watchpoints
WATCHES = 128               # their records
MAX_WATCHES = 56
TABLE_BYTES = WATCHES + MAX_WATCHES * RECORD_BYTES
assert _end <= WATCHES

# --- PROBE_HITS: bit n for watchpoint n, and ------------------------------------------------------------------------
VECTOR_BIT, SWITCH_BIT = 1 << 60, 1 << 61
