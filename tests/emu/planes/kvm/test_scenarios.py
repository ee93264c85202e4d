"""What planes share, where interrupts go, and memory; plN: number in the scenario list of KVM planes."""
import errno

import pytest

from emu import state_names
from emu.irq.apicbus import INIT, ApicMessage
from emu.planes.kvm.routing import GsiRoute
from emu.planes.kvm.vm import NW, NX, KvmVm
from emu.waiting import RUNNING
from jit import layout
from tests.emu.flat import CODE, DATA, Flat
from tests.emu.planes.kvm.guest import CALL, HLT, NOP, RETURN, VMCALL, Kvm
from tests.emu.planes.kvm.test_api import fails

IF = 1 << 9
OSXSAVE = 0x620 | 1 << 18
XGETBV, XSETBV, VADDPS, XRSTOR, XSAVE = "0f01d0", "0f01d1", "c5f458c2", "0fae2e", "0fae26"
LOAD, STORE = "8a06", "8806"                                # mov al, [rsi]; mov [rsi], al
PKRU_AT = 2688                  # in an XSAVE area
KVM_EXIT_MEMORY_FAULT = 39


def with_avx(g, *planes):
    for n in planes:
        g.vcpus[n].state.set(layout.CR4, OSXSAVE)
        g.vcpus[n].state.update_mode()


MOVD_FROM_EAX, MOVD_TO_EAX, WRPKRU, RDPKRU, PKE = "660f6ec0", "660f7ec0", "0f01ef", "0f01ee", 1 << 22
LDMXCSR, STMXCSR, FNSTCW = "0fae16", "0fae1e", "d93e"      # [rsi]


def pkrus(g):
    """By plane; XSAVE areas and debuggers show the same."""
    found = [int.from_bytes(vcpu.get_xsave()[PKRU_AT:PKRU_AT + 4], "little") for vcpu in g.vcpus]
    assert found == [state_names.read(vcpu.state, "pkru") for vcpu in g.vcpus]
    return found


@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("way", ("call", "userspace"))
def test_pl21_vector_registers_are_shared_or_not_and_pkru_never(way, shared):
    g = Kvm(("HIGHEST_RUNNABLE" if way == "call" else "USER") + "+fpu" * shared)
    for vcpu in g.vcpus:
        vcpu.state.set(layout.CR4, vcpu.state.get(layout.CR4) | PKE)
        vcpu.state.update_mode()

    def change(number):
        if way == "call":
            g.vcpus[0].set_regs(rax=CALL) if number else g.vcpus[1].set_regs(rax=RETURN)
            g.steps(1)
        else:
            g.vcpus[0]._activate(number)
        assert g.active == number

    g.at(0, MOVD_FROM_EAX + WRPKRU + (VMCALL if way == "call" else "") + MOVD_TO_EAX + "89c3" + RDPKRU, rax=0x5554,
         rcx=0, rdx=0)
    g.at(1, MOVD_TO_EAX + "89c3" + RDPKRU + "b808000000" + WRPKRU + "89d8" + "ffc0" + MOVD_FROM_EAX + VMCALL, rax=0,
         rcx=0, rdx=0)
    g.steps(2)
    change(1)
    g.steps(3)                                              # movd eax, xmm0; mov ebx, eax; rdpkru
    regs = g.vcpus[1].get_regs()
    assert (regs["rbx"], regs["rax"]) == (0x5554 if shared else 0, 0)
    assert pkrus(g) == [0x5554, 0]
    g.steps(5)                                              # PKRU = 8; xmm0 = ebx + 1
    change(0)
    g.steps(3)
    regs = g.vcpus[0].get_regs()
    assert (regs["rbx"], regs["rax"]) == (0x5555 if shared else 0x5554, 0x5554)
    assert pkrus(g) == [0x5554, 8]


def test_pl21_a_parked_planes_pkru_is_set_for_itself():
    g = Kvm("HIGHEST_RUNNABLE+fpu")
    area = bytearray(g.vcpus[1].get_xsave())
    area[PKRU_AT:PKRU_AT + 4] = (0x30).to_bytes(4, "little")
    g.vcpus[1].set_xsave(bytes(area))
    assert pkrus(g) == [0, 0x30]
    state_names.write(g.vcpus[1].state, "pkru", 0x40)
    state_names.write(g.vcpus[0].state, "pkru", 0x50)
    assert pkrus(g) == [0x50, 0x40]


def test_pl21_a_plane_that_used_nothing_starts_with_fninits_values():
    """And finds these after the other plane, which changed its own."""
    g = Kvm("HIGHEST_RUNNABLE")
    g.m.dma_write(DATA, (0x1F00).to_bytes(4, "little"))
    g.at(0, LDMXCSR + VMCALL, rsi=DATA, rax=CALL)
    g.at(1, STMXCSR + "4883c604" + FNSTCW + "d9e8" + "dd1e", rsi=DATA)      # fld1; fstp qword [rsi]
    g.steps(5)
    assert (g.read(DATA, 4), g.read(DATA + 4, 2)) == (0x1F80, 0x37F)
    g.steps(2)
    assert g.read(DATA + 4) == 0x3FF0000000000000


def test_pl22_xcr0_is_shared_with_vector_state():
    """What one plane enables the other may use at once."""
    g = Kvm("HIGHEST_RUNNABLE+fpu")
    with_avx(g, 0, 1)
    g.at(0, XSETBV + VMCALL, rax=7, rcx=0, rdx=0)
    g.at(1, XGETBV + VADDPS + NOP, rcx=0)
    g.steps(1)
    g.vcpus[0].set_regs(rax=CALL)
    g.steps(3)
    assert g.active == 1 and g.vcpus[1].get_regs()["rax"] == 7 and g.where(1) == 7 and g.count(6) == 0


def test_pl22_a_private_xcr0_with_shared_vector_state_restores_without_gp():
    vm = KvmVm("apr25", memory=8 << 20, engine="interp")
    vm.enable_cap(240)
    g = Flat(machine=vm.machine)
    vcpus = [vm.create_vcpu(0)]
    vcpus.append(vm.create_plane(1).create_vcpu(vcpus[0]))
    g.long_mode(vcpus[1].state)
    for vcpu, xcr0 in zip(vcpus, (7, 3), strict=True):
        vcpu.state.set(layout.CR4, OSXSAVE)
        vcpu.set_xcr0(xcr0)
    assert (vcpus[0].get_xcr0(), vcpus[1].get_xcr0()) == (7, 3)
    g.m.dma_write(CODE, bytes.fromhex(XSAVE + XRSTOR + HLT))
    vcpus[1].set_regs(rip=CODE, rsi=DATA, rax=7, rdx=0, rsp=0x50000)
    vcpus[0].run_area.plane = 1
    fails(errno.EAGAIN, vcpus[0].run)
    assert g.count(13) == 0 and vcpus[1].get_regs()["rip"] == CODE + 7


def test_pl24_gsis_go_to_the_plane_that_set_the_table_last():
    g = Kvm("LOWEST_RUNNABLE", planes=3, dialect="jun26")
    routes = [GsiRoute(5, 0xFEE00000, 0x41), GsiRoute(6, 0xFEE00000, 0x42)]
    g.vm.planes[0].set_gsi_routing(routes)
    assert g.vm.irq_line(5, 1) == 1 and g.vcpu.lapics[0].irr == 1 << 0x41
    g.vm.planes[2].set_gsi_routing(routes)
    assert g.vm.irq_line(5, 1) == 0                         # the line is still high: no edge
    g.vm.irq_line(5, 0)
    assert g.vm.irq_line(5, 1) == g.vm.irq_line(6, 1) == 1
    assert [lapic.irr for lapic in g.vcpu.lapics] == [1 << 0x41, 0, 1 << 0x41 | 1 << 0x42]
    fails(errno.EINVAL, g.vm.set_gsi_routing, [GsiRoute(5, 0xFEE00000, 0x41, plane=1)])


def test_pl24_or_to_the_plane_that_an_entry_names():
    g = Kvm("USER", planes=2, dialect="apr25")
    fails(errno.ENOTTY, g.vm.planes[1].set_gsi_routing, [])
    g.vm.set_gsi_routing([GsiRoute(5, 0xFEE00000, 0x41), GsiRoute(5, 0xFEE00000, 0x42, plane=1),
                          GsiRoute(5, 0xFEE00000, 0x43, plane=7)])
    assert g.vm.irq_line(5, 1) == 2
    assert [lapic.irr for lapic in g.vcpu.lapics] == [1 << 0x41, 1 << 0x42]


@pytest.mark.parametrize("policy, reaches", (("HIGHEST_RUNNABLE", False), ("LOWEST_RUNNABLE", True)))
def test_pl26_init_for_a_plane_beneath_another(policy, reaches):
    g = Kvm(policy, planes=2, dialect="vsm26")
    g.m.pc.apic_bus.send(ApicMessage(0, INIT, destination=0))
    assert (g.vcpus[0].get_regs()["rip"] == 0xFFF0) == reaches      # of the boot processor: the reset vector


@pytest.mark.parametrize("engine", ("interp", "blocks"))
def test_pl29_execution_that_is_denied_ends_at_once(engine):
    """Code that runs, compiled even, takes a page's attributes from the next instruction on; other planes still may."""
    vm = KvmVm("apr25", memory=8 << 20, engine=engine)
    g = Flat(machine=vm.machine)
    vcpus = [vm.create_vcpu(0)]
    vcpus.append(vm.create_plane(1).create_vcpu(vcpus[0]))
    g.long_mode(vcpus[1].state)
    g.m.dma_write(CODE, bytes.fromhex("48ffc0ebfb"))         # inc rax; jmp
    for vcpu in vcpus:
        vcpu.set_regs(rip=CODE)
    run = vcpus[0].run_area
    run.plane = 1
    vcpus[0]._activate(1)
    g.vcpu.run(200_000)
    done = vcpus[1].get_regs()["rax"]
    vm.planes[1].set_memory_attributes(CODE, 0x1000, NX)
    assert vcpus[0].run() == KVM_EXIT_MEMORY_FAULT
    assert run.memory_fault.flags == 4 and vcpus[1].get_regs()["rax"] == done == 100_000
    vcpus[0]._activate(0)
    g.vcpu.run(10)
    assert vcpus[0].get_regs()["rax"] == 5


def test_pl30_an_overlay_is_seen_by_its_plane_alone():
    g = Kvm("USER", planes=3, dialect="vsm26")
    g.m.memory.write(DATA, b"r" * 4096)
    for n in range(3):
        g.at(n, LOAD + STORE + HLT, rsi=DATA, rax=0)
    page = g.vm.planes[1].set_memory_overlay(DATA, b"o" * 4096)

    def loads(number):
        g.vcpus[number].set_regs(rip=CODE + 0x1000 * number)
        g.vcpus[number].state.set(layout.ACTIVITY, RUNNING)
        g.vcpus[0]._activate(number)
        g.steps(1)
        return chr(g.vcpus[number].get_regs()["rax"] & 255)

    assert [loads(n) for n in range(3)] == ["r", "o", "r"]
    g.vcpus[1].set_regs(rax=ord("x"))
    g.vcpus[0]._activate(1)
    g.steps(1)
    assert g.m.memory.read(page, 1) == b"x" and g.m.memory.read(DATA, 1) == b"r" and loads(1) == "x"
    g.vm.planes[1].set_memory_overlay(DATA, None)
    assert [loads(n) for n in range(3)] == ["r", "r", "r"]


def test_pl30_no_plane_finds_the_page_elsewhere():
    g = Kvm("USER", planes=2, dialect="vsm26")
    page = g.vm.planes[1].set_memory_overlay(DATA, b"o" * 4096)
    for vcpu in g.vcpus:
        assert vcpu.state.get(layout.NESTED) and vcpu.state.get(layout.NESTED_PAGES) > page >> 12
    fails(errno.EINVAL, g.vm.planes[0].set_memory_overlay, DATA, bytes(4096))
    fails(errno.EINVAL, g.vm.planes[1].set_memory_overlay, DATA + 1, bytes(4096))
    fails(errno.EINVAL, g.vm.planes[1].set_memory_overlay, DATA, b"short")
    fails(errno.ENOTTY, Kvm("USER").vm.planes[1].set_memory_overlay, DATA, bytes(4096))
    for n in range(15):
        g.vm.planes[1].set_memory_overlay(DATA + 0x1000 * (n + 1), bytes(4096))
    fails(errno.ENOMEM, g.vm.planes[1].set_memory_overlay, 0x70000, bytes(4096))


def test_pl30_attributes_and_overlays_go_together():
    g = Kvm("USER", planes=2, dialect="vsm26")
    g.vm.planes[1].set_memory_overlay(DATA, b"o" * 4096)
    g.vm.planes[1].set_memory_attributes(DATA, 0x1000, NW)
    g.at(1, LOAD + STORE, rsi=DATA)
    g.vcpus[1].set_run_state(True)
    assert g.active == 1 and g.vcpus[0].run() == KVM_EXIT_MEMORY_FAULT
    assert g.run_area.memory_fault.flags == 2 and g.vcpus[1].get_regs()["rax"] & 255 == ord("o")


def test_pl31_breakpoint_addresses_are_shared_and_each_plane_enables_its_own():
    g = Kvm("HIGHEST_RUNNABLE+dr")
    g.at(0, VMCALL + NOP, rax=CALL)
    g.at(1, NOP * 2 + VMCALL + NOP * 3, rax=RETURN)
    g.vcpus[0].set_debugregs([CODE + 0x1001, 0, 0, 0], 0xFFFF0FF0, 0x402)
    g.steps(3)
    assert g.active == 1 and g.where(1) == 2 and g.count(1) == 0     # plane 0's DR7 does not count here
    assert g.vcpus[1].get_debugregs()["db"][0] == CODE + 0x1001
    g.vcpus[1].set_debugregs([CODE + 0x1001, 0, 0, 0], 0xFFFF0FF0, 0x402)
    g.vcpus[1].set_regs(rip=CODE + 0x1000)
    g.steps(2)
    assert g.count(1) == 1 and g.vcpus[1].get_debugregs()["dr6"] & 1
    assert g.vcpus[0].get_debugregs()["dr6"] & 1 == 0


def test_pl35_the_timer_of_a_parked_plane_preempts():
    g = Kvm("HIGHEST_RUNNABLE")
    g.vm.dialect = g.vm.dialect._replace(chosen=False)
    g.at(0, "ebfe", rflags=IF | 2)
    g.at(1, "fb" + NOP + HLT)
    lapic = g.vcpu.lapics[1]
    for offset, value in ((0x3E0, 0b1011), (0x320, 0x40), (0x380, 5000)):
        lapic.write_register(offset, value)
    g.run_area.userspace_exits = 2
    assert g.vcpus[0].run() == 5 and g.active == 1 and g.count(0x40) == 1
    switch = g.m.switches[-1]
    assert switch["cause"] == "interrupt" and 5000 <= switch["icount"] < 5100


def test_an_event_that_userspace_is_to_schedule_has_an_exit_of_its_own_in_vsm26():
    g = Kvm("USER", planes=2, dialect="vsm26")
    g.run_area.req_exit_planes = 2
    g.irq(1)
    assert g.vcpus[0].run() == 0x101 and g.run_area.plane_event.target == 2
    g.at(1, NOP + HLT)
    g.vcpus[1].set_run_state(True)
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.active == 1 and g.where(1) == 2
