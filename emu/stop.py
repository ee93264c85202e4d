"""Why a run ended."""

from typing import Any, NamedTuple


class Stop(NamedTuple):
    """The end of a run.

    `reason` is one of the constants below; `status` the exit status that a process should give (the guest's own, 124
    out of time or instructions, 125 crashed or unimplemented, 126 a user's policy gave nonsense, 130 interrupted);
    `message` one line that says what happened, where, and what to try; `rip`, `plane`, `vcpu` where; `icount`
    instructions retired; `events` what a debugger's breakpoints saw (emu/debug/event.py).
    """

    reason: str
    status: int
    message: str
    vcpu: int
    plane: int
    rip: int
    icount: int
    events: tuple[Any, ...] = ()


(EXIT, MAX_INSNS, TIMEOUT, TRIPLE_FAULT, UNIMPLEMENTED, HALTED, RESET, POWER_OFF, INTERRUPTED, TERMINATED) = (
    "exit", "max-insns", "timeout", "triple-fault", "unimplemented", "halted", "reset", "power-off", "interrupted",
    "terminated")
POLICY = "policy"                       # a user's scheduling policy gave nonsense
STEP, GOTO, BREAKPOINT = "step", "goto", "breakpoint"      # of a debugger
STATUS = {MAX_INSNS: 124, TIMEOUT: 124, TRIPLE_FAULT: 125, UNIMPLEMENTED: 125, HALTED: 125, RESET: 125, POWER_OFF: 0,
          INTERRUPTED: 130, TERMINATED: 125, POLICY: 126, STEP: 124, GOTO: 124, BREAKPOINT: 124}
