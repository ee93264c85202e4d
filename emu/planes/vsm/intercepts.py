"""Secure intercepts: what a lower VTL does that a higher one wants to know of first (TLFS, Virtual Secure Mode, "Secure
intercepts"). The message goes to SINT0 of the higher VTL on the same virtual processor, or into its VP assist page;
the instruction has changed nothing, and is executed again when its VTL next runs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from iced_x86 import Decoder

from emu.disassembly import instruction_text
from emu.planes.journal import KEPT, Intercept
from emu.planes.vsm import config, installed, messages, trapped
from emu.planes.vsm.codes import Retry
from emu.planes.vsm.installed import Installed
from emu.planes.vsm.msrs import ENABLE, PAGE_BITS
from emu.planes.vsm.results import Results
from emu.planes.vsm.synic import message
from emu.walk import read_virtual
from jit import exits, group_layout, guards, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.partition import Partition
    from emu.planes.vsm.vp import Vp

INTERCEPT_SINT = 0
CR4_SMEP = 1 << 20
ASSIST_MESSAGE = 0x70                       # in the VP assist page
STALL_COST = 100                            # instructions' time that a retry costs while nobody takes the message
STALLS_REPORTED = 1000
RAX, RCX, RDX, RBX = range(4)
PAGE_FAULT = 14
INSTRUCTION_BYTES = 15


class Intercepts:
    """The secure intercepts of a partition."""

    NOT_STATE = ("journal",)                # a report; what is in the future again is dropped

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self.stalls = 0                     # retries for want of somebody to take the message
        self.delivered = 0
        self.journal: deque[Intercept] = deque(maxlen=KEPT)
        self.installed = Installed()
        self.results = Results()

    def forget_future(self, icount: int) -> None:
        """Execution went back: later intercepts have not happened."""
        while self.journal and self.journal[-1].icount > icount:
            self.journal.pop()

    # --- delivery ------------------------------------------------------------------------------------------------

    def deliver(self, vp: Vp, owner: int, kind: int, payload: bytes, what: str) -> bool:
        """Tell VTL `owner` of a virtual processor. False: it cannot take the message now, and the lower VTL tries
        again."""
        partition, data = self._partition, message(kind, payload)
        state = vp.vtls.get(owner) if vp.enabled >> owner & 1 else None
        if state is not None and partition.vtls[owner].config & config.USE_INTERCEPT_PAGE:
            if state.assist_page & ENABLE:
                partition.store(owner, (state.assist_page & PAGE_BITS) + ASSIST_MESSAGE, data)
                vp.vcpu.group.set(group_layout.FORCED, owner + 1)
                vp.vcpu.group.set(group_layout.FORCED_CAUSE, group_layout.CAUSE_INTERCEPT)
                self._note(vp, owner, kind, what)
                return True
        elif state is not None and state.synic.receptive(INTERCEPT_SINT):
            state.synic.post(INTERCEPT_SINT, data)
            self._note(vp, owner, kind, what)
            return True
        self._stall(vp, owner)
        return False

    def _note(self, vp: Vp, owner: int, kind: int, what: str) -> None:
        self.delivered += 1
        machine, plane = self._partition.machine, vp.vcpu.plane
        rip = plane.get(layout.RIP)
        self.journal.append(Intercept(machine.clock.icount, vp.index, plane.number, owner, messages.KINDS[kind], what,
                                      rip, instruction_text(self._partition.machine, plane, rip)))

    def _stall(self, vp: Vp, owner: int) -> None:
        """Time passes while the instruction is tried again and again."""
        plane = vp.vcpu.plane
        plane.set(layout.BUDGET, plane.signed(layout.BUDGET) - max(1, min(STALL_COST, plane.signed(layout.BUDGET))))
        self.stalls += 1
        if self.stalls == STALLS_REPORTED:
            self._partition.machine.report(
                f"Hyper-V: VTL{owner} takes no intercept messages, so nothing goes on at {vp.vcpu.where(plane)}; "
                "is its SINT0 unmasked, its message page enabled, its TPR low?")

    # --- memory --------------------------------------------------------------------------------------------------

    def memory(self, vp: Vp, plane: Plane) -> None:
        """The engine found an access denied (DENIED_*)."""
        gpa, access = plane.get(layout.DENIED_GPA), plane.get(layout.DENIED_ACCESS)
        user = plane.get(layout.CPL) == 3 and bool(plane.get(layout.CR4) & CR4_SMEP)
        owner = self._partition.protections.protector(plane.number, gpa, access, user, vp.mbec_active(plane.number))
        if owner is None:
            plane.flush()
        else:
            self._tell_memory(vp, plane, owner, messages.GPA_INTERCEPT, access, gpa)

    def unmapped(self, vp: Vp, plane: Plane, gpa: int, write: bool) -> bool:
        """An access to an address where nothing is."""
        owner = self._owner(vp, plane.number, config.USE_INTERCEPT_PAGE | config.INTERCEPT_NOT_PRESENT)
        if owner is not None:
            self._tell_memory(vp, plane, owner, messages.UNMAPPED_GPA, messages.WRITE if write else messages.READ, gpa)
        return owner is not None

    def _tell_memory(self, vp: Vp, plane: Plane, owner: int, kind: int, access: int, gpa: int, info: int = 0) -> None:
        code, length = b"", self._partition.dialect.fetch_length
        if access != messages.EXECUTE:
            code = self.instruction(plane)
            length = len(code)
        self.deliver(vp, owner, kind, messages.memory(plane, vp.lapic(plane), length, access, gpa, code, info),
                     f"{messages.ACCESSES[access]} {gpa:#x}")

    def check_block(self, vp: Vp, gpa: int, write: bool) -> None:
        """A hypercall parameter block counts as an access of the calling VTL. Retry: it is denied, and the protecting
        VTL is told."""
        plane = vp.vcpu.plane
        access = messages.WRITE if write else messages.READ
        owner = self._partition.protections.protector(plane.number, gpa, access, user=False, mbec=False)
        if owner is not None:
            info = messages.HYPERCALL_OUTPUT_PENDING if write else 0
            self._tell_memory(vp, plane, owner, messages.GPA_INTERCEPT, access, gpa, info)
            raise Retry

    def instruction(self, plane: Plane) -> bytes:
        """The bytes of the instruction at RIP; none while an event is being delivered, or where they cannot be read."""
        rip = plane.get(layout.RIP)
        if plane.get(layout.FAULT_PENDING):
            return b""
        data = read_virtual(self._partition.machine, plane, rip + plane.get(layout.CS_BASE), INSTRUCTION_BYTES)
        if not data:
            return b""
        return data[:Decoder((16, 32, 64)[plane.get(layout.MODE) & 3], data, ip=rip).decode().len]

    # --- registers, ports, CPUID ---------------------------------------------------------------------------------

    def register(self, vp: Vp, plane: Plane) -> None:
        """The engine intercepted an access to a register, or an exception (TRAPPED)."""
        number = plane.get(layout.TRAPPED)
        owner = next(n for n in vp.higher(plane.number)
                     if vp.vtls[n].traps.wants(vp, number, plane) or self.installed.traps(n) >> number & 1)
        if number >= guards.EXCEPTION:
            self._exception(vp, plane, owner, number - guards.EXCEPTION)
            return
        length = plane.get(layout.NEXT_RIP) - plane.get(layout.RIP)
        lapic = vp.lapic(plane)
        index = trapped.MSRS.get(number)
        if index is not None:
            value = None if number in trapped.READS else plane.get(layout.IO_VALUE)
            self._tell_msr(vp, plane, owner, index, value)
        else:
            name, value = trapped.register_value(self._partition.machine, plane, number)
            self.deliver(vp, owner, messages.X64_REGISTER,
                         messages.register(plane, lapic, length, messages.WRITE, name, value),
                         f"write {trapped.SPELLED[number]}, {value:#x}")

    def msr(self, vp: Vp, plane: Plane, index: int, value: int | None) -> bool:
        """RDMSR, or WRMSR of a value, of an MSR that is no field of the register file."""
        if index not in trapped.OTHER_MSRS and not self.installed.has_msrs() and not self.results.has_msrs():
            return False                    # as for most guests, and they access many
        write = value is not None
        unimplemented = not vp.vcpu.msrs.has(index)
        if unimplemented and self.results.ignores(vp, plane.number, index, write):
            if not write:
                plane.set(layout.gpr(RAX), 0)
                plane.set(layout.gpr(RDX), 0)
            plane.retire()
            return True
        number = trapped.OTHER_MSRS[index][write] if index in trapped.OTHER_MSRS else None
        for owner in vp.higher(plane.number):
            accesses = self.installed.number(owner, installed.MSR, index) | (
                self.installed.number(owner, installed.MSR, installed.UNIMPLEMENTED_MSRS) if unimplemented else 0)
            if accesses >> write & 1 or number is not None and vp.vtls[owner].traps.wants(vp, number, plane, value):
                self._tell_msr(vp, plane, owner, index, value)
                return True
        return False

    def _tell_msr(self, vp: Vp, plane: Plane, owner: int, index: int, value: int | None) -> None:
        length = plane.get(layout.NEXT_RIP) - plane.get(layout.RIP)
        self.deliver(vp, owner, messages.X64_MSR, messages.msr(plane, vp.lapic(plane), length, index, value),
                     f"read {index:#x}" if value is None else f"write {index:#x}, {value:#x}")

    def port(self, vp: Vp, plane: Plane, port: int, size: int, value: int | None) -> bool:
        """IN, or OUT of a value."""
        access = messages.READ if value is None else messages.WRITE
        owner = self.port_owner(vp, plane.number, port, size, value is not None)
        if owner is None:
            return False
        code = self.instruction(plane)
        insn = Decoder((16, 32, 64)[plane.get(layout.MODE) & 3], code).decode()
        string = insn.is_string_instruction
        info = (messages.STRING if string else 0) | (messages.REP if string and insn.has_rep_prefix else 0)
        self.deliver(vp, owner, messages.X64_IO_PORT,
                     messages.io_port(plane, vp.lapic(plane), code, access, port, size, info),
                     f"{messages.ACCESSES[access]} {port:#x}, {size} bytes")
        return True

    def port_owner(self, vp: Vp, vtl: int, port: int, size: int, write: bool) -> int | None:
        """The VTL that intercepts a VTL's access to some ports, if any does."""
        return next((n for n in vp.higher(vtl)
                     if any(self.installed.port(n, port + i) >> write & 1 for i in range(size))), None)

    def cpuid(self, vp: Vp, plane: Plane, leaf: int, subleaf: int) -> bool:
        """CPUID of a leaf that a VTL has asked for, or that is not implemented, or whose result was registered."""
        vtl = plane.number
        answer, registered, always = self.results.cpuid(vp, vtl, leaf, subleaf, vp.vcpu.cpuid.read(leaf, subleaf))
        owner = None
        if not always:
            owner = next((n for n in vp.higher(vtl) if self.installed.number(n, installed.CPUID, leaf)), None)
            if owner is None and not registered and leaf > vp.vcpu.cpuid.read(leaf & 0xF000_0000, 0)[0]:
                owner = self._owner(vp, vtl, config.INTERCEPT_CPUID)
        if owner is not None:
            length = plane.get(layout.NEXT_RIP) - plane.get(layout.RIP)
            self.deliver(vp, owner, messages.X64_CPUID, messages.cpuid(plane, vp.lapic(plane), length, answer),
                         f"leaf {leaf:#x}")
        elif registered:
            for register, word in zip((RAX, RBX, RCX, RDX), answer, strict=True):
                plane.set(layout.gpr(register), word)
            plane.retire()
        return owner is not None or registered

    # --- exceptions, hypercalls, start-up ------------------------------------------------------------------------

    def _exception(self, vp: Vp, plane: Plane, owner: int, vector: int) -> None:
        """An exception that would be delivered now, or INT3, INT1 or INTO. It is not pending any more once somebody was
        told, who may give it back."""
        pending = bool(plane.get(layout.FAULT_PENDING))
        error = plane.get(layout.FAULT_ERROR) if pending and plane.get(layout.FAULT_HAS_ERROR) else None
        parameter = plane.get(layout.FAULT_ADDRESS) if pending and vector == PAGE_FAULT else 0
        plane.set(layout.FAULT_PENDING, 0)
        plane.set(layout.IO_DONE, 0)
        at_instruction = not pending or plane.get(layout.FAULT_KIND) in (exits.KIND_FAULT, exits.KIND_BREAKPOINT)
        code = self.instruction(plane) if at_instruction else b""
        told = self.deliver(vp, owner, messages.EXCEPTION, messages.exception(
            plane, vp.lapic(plane), code, vector, error, parameter, software=not pending), f"vector {vector}")
        if pending and not told:
            plane.set(layout.FAULT_PENDING, 1)

    def hypercall(self, vp: Vp, kind: int) -> None:
        """A hypercall that cannot be carried out because something is unknown here. Retry: a VTL that intercepts such
        calls was told."""
        plane = vp.vcpu.plane
        owner = next((n for n in vp.higher(plane.number) if self.installed.number(n, kind)), None)
        if owner is not None:
            self.deliver(vp, owner, messages.HYPERCALL, messages.hypercall(plane, vp.lapic(plane)),
                         f"code {plane.get(layout.gpr(RCX)) & 0xFFFF:#x}")
            raise Retry

    def startup(self, vp: Vp, plane: Plane, wanted: int, vector: int) -> bool:
        """A start-up IPI that a VTL sends to virtual processor `wanted`: whether a VTL above it takes it."""
        owner = self._owner(vp, plane.number, config.INTERCEPT_VP_STARTUP)
        return owner is not None and self.deliver(
            vp, owner, messages.X64_SIPI, messages.sipi(plane, vp.lapic(plane), wanted, vector),
            f"vector {vector:#x} to virtual processor {wanted}")

    def shutdown(self, vp: Vp, plane: Plane) -> bool:
        """A triple fault: the VTL is where the first fault found it, and goes on from there."""
        owner = self._owner(vp, plane.number, config.INTERCEPT_UNRECOVERABLE)
        if owner is None:
            return False
        plane.set(layout.ACTIVITY, 0)
        self.deliver(vp, owner, messages.UNRECOVERABLE_EXCEPTION,
                     messages.header(plane, vp.lapic(plane), 0, messages.EXECUTE), "triple fault")
        return True

    def _owner(self, vp: Vp, vtl: int, bits: int) -> int | None:
        """The lowest VTL above `vtl` on a virtual processor with one of some bits in its VsmPartitionConfig."""
        return next((n for n in vp.higher(vtl) if self._partition.vtls[n].config & bits), None)
