"""Who denies an access, and which instruction decided so."""
import pytest

from emu import Machine
from emu.planes.kvm.vm import NR, NW, NX, KvmVm
from emu.planes.layers import Layer
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE
from tests.emu.debug.guests import AT, VSM, machine, vsm
from tests.emu.planes.vsm.guest import Guest

PAGE, OTHER = 0x200000, 0x201000
READ_ONLY, EVERYTHING = 1, 0xF


def test_a_mask_names_the_instruction_that_set_it():
    guest = Guest()
    guest.secure()
    model, vcpu = guest.m.plane_model, guest.vcpu
    enabled = model.layers(vcpu, vcpu.planes[0], PAGE)[0]
    assert (enabled.name, enabled.denied, enabled.origin.plane) == ("VTL1's mask", 0, 1)
    before = guest.m.clock.icount
    assert guest.protect(READ_ONLY, PAGE) == (0, 1)
    mine, = model.layers(vcpu, vcpu.planes[0], PAGE)
    assert mine.denied == DENY_WRITE | DENY_EXECUTE | DENY_USER_EXECUTE
    assert (mine.origin.vcpu, mine.origin.plane) == (0, 1) and mine.origin.icount >= before > enabled.origin.icount
    assert model.layers(vcpu, vcpu.planes[0], OTHER) == [enabled]
    assert model.layers(vcpu, vcpu.planes[1], PAGE) == []          # nobody is above VTL1


def test_going_to_an_origin_stands_before_its_hypercall():
    with Machine(memory="8M", planes="vsm") as m:
        m.load(VSM.with_name("vsm_protect.elf"))
        with m.break_violation():
            page = m.run().events[0].gpa
        layer, = m.vcpu[0].plane[0].layers(page)
        assert layer.denied and layer.origin.icount < m.icount
        m.goto(layer.origin.icount)
        assert (m.current.number, m.current.rip) == (layer.origin.plane, layer.origin.rip)
        assert m.vcpu[0].plane[0].layers(page) != [layer]
        m.step()
        assert m.vcpu[0].plane[0].layers(page) == [layer]


def test_origins_are_part_of_snapshots():
    guest = Guest()
    guest.secure()
    guest.protect(READ_ONLY, PAGE, OTHER)
    protections = guest.m.plane_model.protections
    layers = protections.layers(0, PAGE, False)
    state = protections.save()
    guest.protect(EVERYTHING, PAGE)
    assert protections.layers(0, PAGE, False) != layers
    protections.load(state)
    assert protections.layers(0, PAGE, False) == layers and protections.save() == state


@pytest.mark.parametrize("attributes, denied", [
    (NW, DENY_WRITE), (NX, DENY_EXECUTE | DENY_USER_EXECUTE),
    (NR | NW | NX, DENY_READ | DENY_WRITE | DENY_EXECUTE | DENY_USER_EXECUTE)])
def test_attributes_that_a_vmm_set_have_no_instruction(attributes, denied):
    vm = KvmVm("apr25", memory=8 << 20)
    vcpu = vm.create_vcpu(0)
    plane = vm.create_plane(1)
    plane.create_vcpu(vcpu)
    plane.set_memory_attributes(PAGE, 4096, attributes)
    group = vm.machine.vcpus[0]
    assert vm.machine.plane_model.layers(group, group.planes[1], PAGE) == [Layer("memory attributes", denied)]
    assert vm.machine.plane_model.layers(group, group.planes[1], OTHER) == []


def test_without_planes_nobody_denies(tmp_path):
    with machine(b"\x90", tmp_path / "code") as m:
        plane = m.vcpu[0].plane[0]
        assert plane.layers(AT) == () and plane.denied(AT) == 0 and plane.denied(-1) == 0
        assert plane.denials(0, 1 << 40) == bytes(m.map.space // 4096) and m.vcpu[0].shared == frozenset()


def test_shared_registers_are_the_specifications_table():
    """TLFS, Virtual Secure Mode, "Virtual processor state isolation"."""
    with vsm() as m:
        shared = m.vcpu[0].shared
    assert {"rax", "rbp", "r15", "al", "cr2", "dr3", "xcr0"} <= shared
    assert not shared & {"rsp", "rip", "cr3", "cs", "efer", "gdtr_base", "dr7", "dr6", "rflags"}
