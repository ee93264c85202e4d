"""The three-level storm of interrupts in a VM that is moved to another one again and again, at every n-th instruction:
in handlers, between planes, halted, with interrupts, timers and hypercalls under way."""
import errno
import pickle
from pathlib import Path

import pytest

from emu.planes.kvm import migration
from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.run import KVM_EXIT_HYPERCALL, KVM_EXIT_HYPERV_VTL_INTERRUPT
from emu.planes.kvm.vm import KvmVm
from emu.planes.policies import parse
from jit.group_layout import PLANE_CALL

STORM = str(Path(__file__).resolve().parents[4] / "firmware" / "build" / "three_levels.elf")
MEMORY = 2 << 20
PLANE_EVENT = 44
POLICIES = ("USER", "LOWEST_RUNNABLE", "HIGHEST_RUNNABLE", "MPP(2)", "TDX", "CCA+fpu")


class Traveller:
    """The guest and its VMM. `path` is what planes did, wherever that was; `exits` counts what userspace did."""

    def __init__(self, policy, engine):
        self.policy = parse(policy)
        if policy == "USER":
            self.policy = self.policy._replace(descending=True)
        self.engine, self.path, self.moves, self.exits = engine, [], 0, 0
        self.vm = self.made()
        self.vm.enable_cap(239, 3)
        self.vm.create_vcpu(0)
        self.vm.machine.load(STORM)
        self.put_aside = []                         # by userspace, where that schedules

    def made(self):
        return KvmVm("vsm26", memory=MEMORY, engine=self.engine, policy=self.policy)

    def move(self):
        """To another VM, by way of bytes."""
        self.note()
        state = pickle.dumps((migration.save_vm(self.vm), self.vm.machine.memory.read(0, MEMORY)))
        self.vm = self.made()
        saved, memory = pickle.loads(state)
        migration.restore_vm(self.vm, saved)
        self.vm.machine.memory.write(0, memory)
        self.moves += 1

    def note(self):
        self.path += [(s["icount"], s["from"], s["to"], s["cause"], s["rip_from"], s["rip_to"])
                      for s in self.vm.machine.switches]

    def travel(self, period):
        """Until the guest ends; it moves every `period` instructions, never if that is 0. Gives its RAM."""
        while True:
            vcpu, clock = self.vm.planes[0].vcpus[0], self.vm.machine.clock
            kick = clock.schedule(clock.now + period, vcpu.kick, "time to move") if period else None
            try:
                self.serve(vcpu, vcpu.run())
                self.exits += 1
            except KvmError as error:
                if error.errno != errno.EINTR:
                    assert "status 1" in str(error), error
                    self.note()
                    return self.vm.machine.memory.read(0, MEMORY)
                moves = True
            else:
                moves = period > 0 and self.exits % 19 == 0
            clock.cancel(kick)
            if moves:
                self.move()

    def serve(self, vcpu, reason):
        run, plane = vcpu.run_area, vcpu.run_area.plane
        if reason == PLANE_EVENT:
            number = run.plane_event.plane
            self.vm.create_plane(number).create_vcpu(0)
        elif reason == KVM_EXIT_HYPERCALL:
            run.hypercall.ret = 0
            self.path.append((run.hypercall.nr, plane))
            if run.hypercall.nr == PLANE_CALL:
                self.put_aside.append(plane)
                self.enter(plane + 1)
            else:
                self.enter(self.put_aside.pop())
        else:
            assert reason == KVM_EXIT_HYPERV_VTL_INTERRUPT
            self.put_aside.append(plane)
            self.enter(max(n for n in self.vm.planes if run.plane_event.target >> n & 1))

    def enter(self, number):
        """Hyper-V's order: what is above the plane that runs may interrupt it."""
        self.path.append(number)
        self.vm.planes[number].vcpus[0].set_run_state(True)
        self.vm.planes[0].vcpus[0].run_area.req_exit_planes = -2 << number & 0b110


def compare(policy, engine, period, moves=5):
    one, other = Traveller(policy, "interp"), Traveller(policy, engine)
    memory, moved = one.travel(0), other.travel(period)
    assert other.moves > moves and len(one.path) > 200
    assert other.path == one.path and moved == memory


@pytest.mark.parametrize("policy", POLICIES)
def test_pl38_moved_now_and_then(policy):
    compare(policy, "interp", 19_997)


def test_pl38_moved_now_and_then_while_compiled():
    compare("HIGHEST_RUNNABLE", "auto", 59_999, 2)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ("interp", "blocks"))
@pytest.mark.parametrize("policy", POLICIES)
def test_moved_at_every_499th_instruction(policy, engine):
    compare(policy, engine, 499)
