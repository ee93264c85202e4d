"""Why compiled code stopped: what a handler returns, and what the run loop hands to Python."""

OK = 0              # the handler did its work
TAKEN = 1           # a conditional branch goes to its target

# Handled by the run loop in compiled code
LOOKUP = 2          # RIP holds the next instruction; find its micro-ops
FAULT = 3           # FAULT_* describe an exception of the instruction at EXIT_UOP
STOPPED = 4         # the instruction budget placed a stop here
STALE = 5           # the micro-ops here were invalidated
BUDGET = 6          # the next block is longer than the budget
RDTSC = 7
SHORT = 8           # this block may not run as a whole: one instruction at a time
AGAIN = 9           # state changed under the micro-op (a TLB entry was made): execute it again

# Handled by Python
DECODE = 32         # no micro-ops at RIP
IO = 33             # a device access is wanted: IO_*
SMC = 34            # a store hits decoded code on page SMC_GPA
RUNTIME = 35        # a runtime function is not compiled yet (number in IO_VALUE)
HALT = 36
SHUTDOWN = 37       # triple fault
CPUID = 38
RDMSR = 39
WRMSR = 40
HYPERCALL = 41
UNIMPLEMENTED = 42
INTERRUPT = 43      # INTR is asserted and the guest can take it
EVENT = 44          # the budget is used up
RDPMC = 45          # ECX names a performance counter; privilege was checked
CR_WRITE = 47
HOT = 48            # the micro-op at EXIT_UOP is worth compiling
CODE_WRITE = 49     # the hypervisor is about to write page SMC_GPA, from which instructions were decoded
FERR = 50           # an x87 exception is to be signalled outside, as CR0.NE = 0 asks (SDM Vol. 1 8.7.2)
SMC_DONE = 51       # the instruction whose stores SMC_PASS let through has ended
DENIED = 52         # a more privileged plane does not allow the access of DENIED_*
TRAPPED = 53        # a more privileged plane intercepts the register access of TRAPPED
NOTIFY = 54         # a plane was entered that wants to know of interrupts waiting for those below it
WATCH = 55          # page IO_VALUE is to be watched for writes, then the instruction is executed again
WAIT = 56           # an instruction waits: ARG (jit/semantics/wait.py)
PAUSE = 57          # a good moment to let others run
SMI = 46            # an SMI is taken here
RSM = 59
PLANE_EVENT = 58    # a plane that does not run has an event for which userspace asked to leave
PROBE = 60          # a debugger's probe is in front of the instruction (its record: the micro-op's immediate)
PROBED = 61         # PROBE_HITS say what a debugger looks for and the last instruction or delivery did
SNP = 62            # an SEV-SNP instruction: number SNP_* of jit/semantics/wiring.py in IO_VALUE
VMGEXIT = 63        # a request of an SEV-ES guest's to its hypervisor

# IO_KIND
IO_MMIO_READ, IO_MMIO_WRITE, IO_PORT_READ, IO_PORT_WRITE = 1, 2, 3, 4

# FAULT_KIND: RIP of a fault is the instruction's own, and it pushes RF = 1; of an instruction breakpoint the same, but
# RF as it is; of everything else, the next one's
KIND_FAULT, KIND_TRAP, KIND_INTERRUPT, KIND_NMI, KIND_BREAKPOINT = 0, 1, 2, 3, 4
