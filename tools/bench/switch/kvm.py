"""Paths through KVM VM planes: firmware/bench/kvm_switch.c and kvm_paths.S under a VMM made of emu/planes/kvm."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from emu.irq.apicbus import ApicMessage
from emu.irq.lapic_msr import IA32_APIC_BASE
from emu.planes.kvm import dialects
from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.run import KVM_EXIT_HYPERCALL
from emu.planes.kvm.vm import KvmVm
from emu.planes.policies import PRESETS, Policy, parse
from jit import group_layout, layout
from tools.bench.switch.guests import image
from tools.bench.switch.rig import GuestError, Rig
from tools.bench.switch.scenario import CALL, INTERRUPT, LOWER, SHARED, Scenario

GUEST = "kvm_switch.elf"
PLANE_CALL, PLANE_RETURN, RUN_PLANE = 0x11, 0x12, 0x80000018    # docs/planes.md
ASK_VMM = 0x200                 # under USER any number does: the VMM runs the other plane
VECTOR = 0x62
X2APIC_ENABLED, SPIV, SPIV_ENABLED = 0xFEE00C00, 0xF0, 0x1FF
IF = 1 << 9
STACK_BYTES = 4096
# loop of the client, what the service does when it is entered, the labels between which the path lies
PATHS = {CALL: ("loop_call", "service_start", "path_call", "path_call_end"),
         INTERRUPT: ("loop_interrupt", "service_start", "path_interrupt", "path_interrupt_end"),
         LOWER: ("loop_call", "service_busy", "path_lower", "path_lower_end")}


def policies() -> tuple[str, ...]:
    """The presets of emu/planes/policies.py, and MPP(0) for the family of MPP(n)."""
    return (*PRESETS, "MPP(0)")


def scenarios(policy: str) -> Iterator[Scenario]:
    """All paths."""
    for task in PATHS:
        yield Scenario("kvm", policy, task, f"{task} under {policy}", partial(KvmRig, task, policy))


def roles(policy: Policy) -> tuple[int, int]:
    """Planes that ask for a service and give it: the less privileged one and the more privileged one."""
    return (1, 0) if policy.marker == 0 else (0, 1)


class KvmRig(Rig):
    """Two planes, and a VMM that runs the other one whenever it is asked, or told of an event of it."""

    def __init__(self, task: str, policy: str, fpu: str, engine: str) -> None:
        self.policy = parse(policy)
        client, service = roles(self.policy)
        vm = KvmVm("apr25", memory=16 << 20, policy=self.policy, engine=engine)
        if fpu == SHARED:
            vm.enable_cap(dialects.KVM_CAP_PLANES_FPU)
        self.vmm = vm.create_vcpu(0)
        self.others = {0: self.vmm}
        vm.machine.load(str(image(GUEST)))
        loop, serve, begin, end = PATHS[task]
        super().__init__(vm.machine, begin, end)
        self._exits = 0
        if self.vmm.run() != KVM_EXIT_HYPERCALL:
            raise GuestError(f"{GUEST} does not say that it is ready")
        self.others[1] = vm.create_plane(1).create_vcpu(self.vmm)
        self._prepare()
        self._words(client, service, self.symbol(serve))
        for number, start in ((client, loop), (service, "service_start")):
            self.others[number].set_regs(rip=self.symbol(start), rflags=IF | 2, rsp=self._stack(number))
        self._interrupt = {CALL: None, INTERRUPT: service, LOWER: client}[task]
        self.vmm.run_area.req_exit_planes = 1 << client | 1 << service
        self._resume(self.vcpu.group.active)

    def _stack(self, number: int) -> int:
        return self.symbol("plane_stacks") + STACK_BYTES * (number + 1)

    def _prepare(self) -> None:
        """Plane 1 starts with plane 0's system registers; the APICs of both are in x2APIC mode."""
        first, second = self.vcpu.planes
        for offset in (*(layout.SEG + 8 * n for n in range(layout.SEG_BYTES)), layout.GDTR_BASE, layout.GDTR_LIMIT,
                       layout.IDTR_BASE, layout.IDTR_LIMIT, layout.CR0, layout.CR3, layout.CR4, layout.XCR0,
                       layout.EFER, layout.CPL, layout.PAT, layout.ACTIVITY):
            second.set(offset, first.get(offset))
        second.update_mode()
        for number, lapic in enumerate(self.vcpu.lapics):
            self.vcpu.lapic_msrs[number].msr_write(IA32_APIC_BASE, X2APIC_ENABLED | (1 << 8 if lapic.bsp else 0))
            lapic.write_register(SPIV, SPIV_ENABLED)

    def _words(self, client: int, service: int, serve: int) -> None:
        """How the planes ask for each other, and what the service does once it is asked."""
        ask, answer = {
            group_layout.MODE_USER: (ASK_VMM, ASK_VMM), group_layout.MODE_EVENT: (PLANE_CALL, PLANE_RETURN),
        }.get(self.policy.mode, (RUN_PLANE, RUN_PLANE))
        for name, value in (("ask_code", ask), ("ask_plane", service), ("answer_code", answer),
                            ("answer_plane", client), ("service", serve)):
            self.poke(name, value)

    # --- the VMM ---------------------------------------------------------------------------------------------------

    @property
    def userspace_exits(self) -> int:
        """KVM_RUNs that have ended."""
        return self._exits

    def run(self, instructions: int) -> None:
        """Execute instructions; where the run ends for the VMM, it names the plane that goes on."""
        machine, area = self.machine, self.vmm.run_area
        end = machine.clock.icount + instructions
        while machine.clock.icount < end:
            area.exit_reason, machine.stopping, machine.reschedule = 0, None, False
            machine.clock.run_due()
            self.vcpu.run(end - machine.clock.icount)
            if area.exit_reason:
                self._exits += 1
                self._resume(self._choice())
            elif not self.vcpu.runs():
                raise GuestError(f"{self.vcpu.where(self.vcpu.plane)}: asleep")

    def _choice(self) -> int:
        """After a hypercall the other plane; after an event the one that has it."""
        if self.vmm.run_area.exit_reason == KVM_EXIT_HYPERCALL:
            return 1 - self.vcpu.group.active
        target = self.vmm.run_area.plane_event.target
        return target.bit_length() - 1

    def _resume(self, plane: int) -> None:
        """KVM_RUN up to where the guest would run: the next `run` goes on from there."""
        if plane != self.vcpu.group.active:
            self.named.append((self.vcpu.group.active, plane))
        self.vmm.run_area.plane = plane
        self.vmm.kick()
        try:
            self.vmm.run()
        except KvmError as error:
            if error.errno != dialects.EINTR:
                raise

    @property
    def from_outside(self) -> bool:
        """Whether the path has an interrupt."""
        return self._interrupt is not None

    def stimulate(self) -> bool:
        """The path's interrupt."""
        if self._interrupt is None:
            return False
        self.vcpu.lapics[self._interrupt].accept(ApicMessage(VECTOR))
        return True
