"""What a switch costs, decided by the compiled selector and by userspace."""
import time

import pytest

from emu.planes.kvm.vm import KvmVm
from emu.planes.policies import parse
from jit import layout
from tests.emu.flat import CODE, Flat
from tests.emu.planes.kvm.guest import CALL, RETURN, RUN, Kvm

ROUNDS = 100_000


def ping_pong(policy, there, back):
    """Two planes that hand the CPU to each other for ever: nanoseconds for a round trip."""
    vm = KvmVm("apr25", memory=8 << 20, policy=parse(policy), engine="auto")
    g = Flat(machine=vm.machine)
    first = vm.create_vcpu(0)
    second = vm.create_plane(1).create_vcpu(first)
    g.long_mode(second.state)
    second.state.set(layout.gpr(4), 0x50000)
    for vcpu, code, (rax, rbx) in ((first, CODE, there), (second, CODE + 0x1000, back)):
        # mov eax, imm; vmcall; jmp
        g.m.dma_write(code, b"\xb8" + rax.to_bytes(4, "little") + b"\x0f\x01\xc1\xeb\xf6")
        vcpu.set_regs(rip=code, rbx=rbx)
    g.vcpu.run(6 * 1000)
    start = time.process_time()
    g.vcpu.run(6 * ROUNDS)
    taken = time.process_time() - start
    assert g.vcpu.group.switches >= 2 * ROUNDS
    return taken / ROUNDS * 1e9


@pytest.mark.bench
@pytest.mark.parametrize("policy, there, back", (
    ("HIGHEST_RUNNABLE", (CALL, 0), (RETURN, 0)), ("LOWEST_RUNNABLE", (RUN, 1), (RUN, 0)),
    ("MPP(0)", (RUN, 1), (RUN, 0))))
def test_a_round_trip_that_compiled_code_decides(policy, there, back):
    best = min(ping_pong(policy, there, back) for _ in range(3))
    print(f"{policy}: {best:.0f} ns a round trip")
    assert best < 150


@pytest.mark.bench
def test_a_round_trip_that_userspace_decides():
    g = Kvm("USER")
    for n in range(2):
        g.at(n, "0f01c1ebfb")                               # vmcall; jmp
    vcpu, run = g.vcpus[0], g.run_area
    start = time.process_time()
    for n in range(4_000):
        run.plane = n & 1
        vcpu.run()
    print(f"userspace: {(time.process_time() - start) / 2_000 * 1e6:.1f} us a round trip")
