"""Ways through a run that take more than one step of the machine's: over calls, out of functions, to plane switches,
each also backwards. All give the Stop at which the machine stands, and leave no breakpoint behind."""

from __future__ import annotations

from typing import Any

from iced_x86 import Decoder, FlowControl, Instruction

from emu import Breakpoint, Machine, Stop
from emu.api.views import PlaneView
from emu.stop import STEP

LONGEST = 15
RETURNS = ("ret", "retf", "iret", "iretd", "iretq")
OVER = (FlowControl.CALL, FlowControl.INDIRECT_CALL, FlowControl.INTERRUPT, FlowControl.XBEGIN_XABORT_XEND)
GATES = ("vmcall", "vmmcall", "vmgexit", "syscall", "sysenter")


def decode(machine: Machine, plane: PlaneView) -> Instruction | None:
    """The instruction that a plane executes next; None where none can be read."""
    data = plane.memory.most(plane.code_address, LONGEST)
    found = Decoder(plane.bits, data, machine.cpu.decoder_options, ip=plane.rip).decode() if data else None
    return found or None


def _here(plane: PlaneView, condition: str) -> dict[str, Any]:
    return {"plane": plane.number, "vcpu": plane.vcpu, "condition": condition}


def _returns_later(insn: Instruction) -> bool:
    """Whether an instruction goes elsewhere, and its successor is executed when that has come back."""
    return insn.flow_control in OVER or str(insn) in GATES or insn.has_rep_prefix or insn.has_repne_prefix


def _arrived(stop: Stop, mine: Breakpoint) -> Stop:
    """A stop that a move's own breakpoint brought about is a step's end, and no breakpoint's of the user's."""
    return stop._replace(reason=STEP, events=()) if any(event.breakpoint is mine for event in stop.events) else stop


def step_over(machine: Machine) -> Stop:
    """One instruction; a call, an interrupt, a repeated instruction or a way into another plane with all it does."""
    plane = machine.current
    insn = decode(machine, plane)
    if insn is None or not _returns_later(insn):
        return machine.step()
    after = plane.code_address + insn.len
    with machine.breakpoint(after, temporary=True, **_here(plane, f"rsp >= {plane.regs.rsp}")) as mine:
        return _arrived(machine.run(), mine)


def finish(machine: Machine) -> Stop:
    """To after the return of the function, or of the interrupt handler, that is being executed."""
    plane = machine.current
    with machine.break_instruction(*RETURNS, temporary=True, **_here(plane, f"rsp >= {plane.regs.rsp}")) as returns:
        stop = machine.run()
    return machine.step() if any(event.breakpoint is returns for event in stop.events) else stop


def run_to(machine: Machine, where: int | str, plane: int | None = None) -> Stop:
    """To an address or symbol, in any plane unless one is given."""
    with machine.breakpoint(where, temporary=True, plane=plane) as mine:
        return _arrived(machine.run(), mine)


def reverse_over(machine: Machine) -> Stop:
    """Back one instruction, and over a whole call if it was one that returned here."""
    plane = machine.current
    stack = plane.regs.rsp
    stop = machine.reverse_step()
    back = machine.current
    insn = decode(machine, back)
    if insn is None or insn.flow_control != FlowControl.RETURN or back.number != plane.number:
        return stop
    with machine.break_instruction("call", temporary=True, **_here(plane, f"rsp == {stack}")) as calls:
        return _arrived(machine.reverse_continue(calls), calls)


def reverse_finish(machine: Machine) -> Stop:
    """Back to before the call of the function that is being executed."""
    plane = machine.current
    with machine.break_instruction("call", temporary=True, **_here(plane, f"rsp > {plane.regs.rsp}")) as calls:
        return _arrived(machine.reverse_continue(calls), calls)


def next_switch(machine: Machine) -> Stop:
    """To after the next plane switch, before the first instruction of the plane that is entered."""
    with machine.break_plane_switch(temporary=True):
        return machine.run()


def previous_switch(machine: Machine) -> Stop:
    """Back to after the last plane switch before here."""
    with machine.break_plane_switch() as switches:
        return machine.reverse_continue(switches)
