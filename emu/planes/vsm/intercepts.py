"""Secure intercepts: what a lower VTL does that a higher one wants to know of first (TLFS, Virtual Secure Mode, "Secure
intercepts"). The message goes to SINT0 of the higher VTL on the same virtual processor, or into its VP assist page;
the instruction has changed nothing, and is executed again when its VTL next runs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from iced_x86 import Decoder

from emu.disassembly import instruction_text
from emu.planes.journal import KEPT, Intercept
from emu.planes.vsm import config, messages, trapped
from emu.planes.vsm.codes import Retry
from emu.planes.vsm.msrs import ENABLE, PAGE_BITS
from emu.planes.vsm.synic import message
from emu.walk import read_virtual
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.partition import Partition
    from emu.planes.vsm.vp import Vp

INTERCEPT_SINT = 0
CR4_SMEP = 1 << 20
ASSIST_MESSAGE = 0x70                       # in the VP assist page
STALL_COST = 100                            # instructions' time that a retry costs while nobody takes the message
STALLS_REPORTED = 1000
INSTRUCTION_BYTES = 15


class Intercepts:
    """The secure intercepts of a partition."""

    NOT_STATE = ("journal",)                # a report; what is in the future again is dropped

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self.stalls = 0                     # retries for want of somebody to take the message
        self.delivered = 0
        self.journal: deque[Intercept] = deque(maxlen=KEPT)
        self.ports: dict[int, dict[int, int]] = {}      # owner -> port -> accesses (1 read, 2 write)
        self.leaves: dict[int, dict[int, int]] = {}     # owner -> CPUID leaf -> accesses (4 execute)

    def forget_future(self, icount: int) -> None:
        """Execution went back: later intercepts have not happened."""
        while self.journal and self.journal[-1].icount > icount:
            self.journal.pop()

    # --- delivery ------------------------------------------------------------------------------------------------

    def deliver(self, vp: Vp, owner: int, kind: int, payload: bytes, what: str) -> None:
        """Tell VTL `owner` of a virtual processor. Where it cannot take the message now, the lower VTL tries again."""
        partition, data = self._partition, message(kind, payload)
        state = vp.vtls.get(owner) if vp.enabled >> owner & 1 else None
        if state is None:
            self._stall(vp, owner)
        elif partition.vtls[owner].config & config.USE_INTERCEPT_PAGE:
            if not state.assist_page & ENABLE:
                self._stall(vp, owner)
                return
            partition.machine.dma_write((state.assist_page & PAGE_BITS) + ASSIST_MESSAGE, data)
            vp.vcpu.group.set(group_layout.FORCED, owner + 1)
            vp.vcpu.group.set(group_layout.FORCED_CAUSE, group_layout.CAUSE_INTERCEPT)
            self._note(vp, owner, kind, what)
        elif state.synic.receptive(INTERCEPT_SINT):
            state.synic.post(INTERCEPT_SINT, data)
            self._note(vp, owner, kind, what)
        else:
            self._stall(vp, owner)

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
        """The engine intercepted an access to a register (TRAPPED)."""
        number = plane.get(layout.TRAPPED)
        owner = next(n for n in vp.higher(plane.number) if vp.vtls[n].traps.wants(vp, number, plane))
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
        accesses = trapped.OTHER_MSRS.get(index)
        if accesses is None:
            return False
        number = accesses[value is not None]
        for owner in vp.higher(plane.number):
            if vp.vtls[owner].traps.wants(vp, number, plane, value):
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
        for owner in vp.higher(plane.number):
            installed = self.ports.get(owner, {})
            if any(installed.get(port + i, 0) >> access & 1 for i in range(size)):
                code = self.instruction(plane)
                insn = Decoder((16, 32, 64)[plane.get(layout.MODE) & 3], code).decode()
                string = insn.is_string_instruction
                info = (messages.STRING if string else 0) | (messages.REP if string and insn.has_rep_prefix else 0)
                self.deliver(vp, owner, messages.X64_IO_PORT,
                             messages.io_port(plane, vp.lapic(plane), code, access, port, size, info),
                             f"{messages.ACCESSES[access]} {port:#x}, {size} bytes")
                return True
        return False

    def cpuid(self, vp: Vp, plane: Plane, leaf: int, subleaf: int) -> bool:
        """CPUID of a leaf that a VTL has asked for, or that is not implemented."""
        owner = next((n for n in vp.higher(plane.number) if leaf in self.leaves.get(n, ())), None)
        if owner is None:
            owner = self._owner(vp, plane.number, config.INTERCEPT_CPUID)
            largest, *_ = vp.vcpu.cpuid.read(leaf & 0xF000_0000, 0)
            if owner is None or leaf <= largest:
                return False
        length = plane.get(layout.NEXT_RIP) - plane.get(layout.RIP)
        default = vp.vcpu.cpuid.read(leaf, subleaf)
        self.deliver(vp, owner, messages.X64_CPUID, messages.cpuid(plane, vp.lapic(plane), length, default),
                     f"leaf {leaf:#x}")
        return True

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
