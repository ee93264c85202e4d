"""KVM's structures of a vCPU's state, on any plane: what is written is read, and what no processor has is refused."""
import errno
import struct

import pytest

from jit import fpu_layout, layout
from tests.emu.flat import DATA, PML4
from tests.emu.planes.kvm.guest import HLT, NOP, Kvm
from tests.emu.planes.kvm.test_api import fails


@pytest.fixture(params=(0, 1))
def vcpu(request):
    """Plane 0's and plane 1's."""
    g = Kvm("USER")
    found = g.vcpus[request.param]
    found.guest = g
    return found


def test_special_registers(vcpu):
    before = vcpu.get_sregs()
    assert before["cs"] == {"base": 0, "limit": 0xFFFFFFFF, "selector": 8, "type": 11, "s": 1, "dpl": 0, "present": 1,
                            "avl": 0, "l": 1, "db": 0, "g": 1}
    assert (before["cr3"], before["efer"], before["apic_base"] >> 11 & 1) == (PML4, 0x500, 1)
    vcpu.set_sregs(fs=before["fs"] | {"base": 0x1234}, cr2=0x77, cr8=5)
    after = vcpu.get_sregs()
    assert (after["fs"]["base"], after["cr2"], after["cr8"]) == (0x1234, 0x77, 5)
    assert {name for name in after if after[name] != before[name]} == {"fs", "cr2", "cr8"}
    vcpu.set_sregs(**before)
    assert vcpu.get_sregs() == before


@pytest.mark.parametrize("change", ({"cr0": 0x80000010}, {"cr4": 0x600}, {"efer": 0x100}, {"efer": 1 << 40},
                                    {"cr8": 16}, {"cr3": 1 << 60}, {"cr9": 1}, {"apic_base": 0xFEE00801},
                                    {"apic_base": 0xFEE00400}, {"apic_base": 1 << 60}))
def test_special_registers_that_no_processor_has(vcpu, change):
    before = vcpu.get_sregs()
    fails(errno.EINVAL, lambda: vcpu.set_sregs(**change))
    assert vcpu.get_sregs() == before


def test_special_registers_of_the_local_apic(vcpu):
    vcpu.set_sregs(apic_base=0xFEE00C00)
    lapic = vcpu.cpu.lapics[vcpu.plane.number]
    assert vcpu.get_sregs()["apic_base"] == 0xFEE00C00 and lapic.x2apic


def test_special_registers_for_pae_paging_load_what_cr3_points_at(vcpu):
    vcpu.guest.m.dma_write(DATA, struct.pack("<4Q", *(0x1001 * n for n in range(1, 5))))
    code = vcpu.get_sregs()["cs"] | {"l": 0, "db": 1}
    vcpu.set_sregs(cr3=DATA, cr4=0x620, cr0=0x80000011, efer=0, cs=code)
    assert [vcpu.state.get(layout.PDPTE + 8 * n) for n in range(4)] == [0x1001, 0x2002, 0x3003, 0x4004]


def test_the_boot_processor_at_its_reset_vector_is_not_halted(vcpu):
    """As userspaces of 2008 expect."""
    vcpu.set_mp_state(3)
    sregs = vcpu.get_sregs()
    vcpu.set_sregs(cr0=0x10, efer=0, cs=sregs["cs"] | {"base": 0xFFFF0000, "selector": 0xF000, "l": 0})
    assert vcpu.get_mp_state() == 3
    vcpu.set_regs(rip=0xFFF0)
    vcpu.set_sregs()
    assert vcpu.get_mp_state() == 0


def test_debug_registers(vcpu):
    vcpu.set_debugregs([1, 2, 3, 4], 0xFFFF0FF1, 0x400)
    assert vcpu.get_debugregs() == {"db": [1, 2, 3, 4], "dr6": 0xFFFF0FF1, "dr7": 0x400, "flags": 0}
    fails(errno.EINVAL, vcpu.set_debugregs, [0] * 4, 1 << 32, 0x400)
    fails(errno.EINVAL, vcpu.set_debugregs, [0] * 4, 0, 0x400, 1)


def test_events(vcpu):
    vcpu.set_vcpu_events(nmi_masked=1, nmi_pending=1, interrupt_shadow=2)
    found = vcpu.get_vcpu_events()
    assert (found["nmi_masked"], found["nmi_pending"], found["interrupt_shadow"]) == (1, 1, 2)
    assert vcpu.state.get(layout.SHADOW) == 1
    vcpu.set_vcpu_events(nmi_masked=0, nmi_pending=0, interrupt_shadow=0, exception_injected=1, exception_nr=13,
                         exception_has_error_code=1, exception_error_code=0x10)
    found = vcpu.get_vcpu_events()
    assert (found["exception_injected"], found["exception_nr"], found["exception_error_code"]) == (1, 13, 0x10)
    g = vcpu.guest
    g.run_area.plane = vcpu.plane.number
    g.at(vcpu.plane.number, NOP + HLT)
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.count(13) == 1 and g.where(vcpu.plane.number) == 2
    fails(errno.EINVAL, lambda: vcpu.set_vcpu_events(exception_nr=40))
    fails(errno.EINVAL, lambda: vcpu.set_vcpu_events(smi=1))


@pytest.mark.parametrize("index, value", ((0xC0000082, 0x1234), (0xC0000100, 0x5678), (0x277, 0x0007040600070401),
                                          (0x1B, 0xFEE00900), (0x2FF, 0x806)))
def test_msrs(vcpu, index, value):
    regs = vcpu.get_regs()
    old = vcpu.get_msr(index)
    vcpu.set_msr(index, value)
    assert vcpu.get_msr(index) == value and vcpu.get_regs() == regs
    vcpu.set_msr(index, old)
    assert vcpu.get_msr(index) == old


@pytest.mark.parametrize("index, value", ((0xC0000082, 1 << 62), (0x277, 2), (0x12345, 0)))
def test_msrs_that_are_refused(vcpu, index, value):
    fails(errno.EINVAL, vcpu.set_msr, index, value)
    assert not vcpu.state.get(layout.FAULT_PENDING)


def test_xcr0(vcpu):
    vcpu.set_xcr0(7)
    assert vcpu.get_xcr0() == 7
    for value in (0, 2, 5, 1 << 62 | 7):
        fails(errno.EINVAL, vcpu.set_xcr0, value)


def test_an_xsave_area_goes_round(vcpu):
    put = vcpu.state.fpu_set
    for offset, value in ((fpu_layout.FCW, 0x27F), (fpu_layout.FSW, 3 << 11), (fpu_layout.FTW, 0x18),
                          (fpu_layout.MXCSR, 0x1F00), (fpu_layout.ST + 16 * 3, 0x8000000000000001),
                          (fpu_layout.ST + 16 * 3 + 8, 0x3FFF), (fpu_layout.ZMM, 0x1111), (fpu_layout.ZMM + 16, 0x2222),
                          (fpu_layout.ZMM + 32, 0x3333), (fpu_layout.xmm(16), 0x4444), (fpu_layout.OPMASK, 0x5555)):
        put(offset, value)
    area = vcpu.get_xsave()
    assert len(area) == 4096 and struct.unpack_from("<HHB", area) == (0x27F, 3 << 11, 0x18)
    assert struct.unpack_from("<QH", area, 32) == (0x8000000000000001, 0x3FFF)      # ST(0) is the register at TOP
    assert [struct.unpack_from("<Q", area, at)[0] for at in (160, 576, 1088, 1152, 1664)] == [
        0x1111, 0x2222, 0x5555, 0x3333, 0x4444]
    vcpu.state.reset_fpu()
    vcpu.set_xsave(area)
    assert vcpu.get_xsave() == area


def test_an_xsave_area_without_a_component_resets_it(vcpu):
    area = bytearray(vcpu.get_xsave())
    vcpu.state.fpu_set(fpu_layout.ZMM, 0x77)
    area[512:520] = (1).to_bytes(8, "little")
    vcpu.set_xsave(bytes(area))
    assert vcpu.state.fpu_get(fpu_layout.ZMM) == 0 and vcpu.state.fpu_get(fpu_layout.MXCSR) == 0x1F80


def test_xsave_areas_that_are_refused(vcpu):
    good = vcpu.get_xsave()
    for at, value in ((512, 1 << 40), (520, 1 << 63), (24, 1 << 20)):
        area = bytearray(good)
        area[at:at + 8] = value.to_bytes(8, "little")
        fails(errno.EINVAL, vcpu.set_xsave, bytes(area))
    fails(errno.EINVAL, vcpu.set_xsave, good[:100])


def test_the_local_apics_registers(vcpu):
    lapic = vcpu.cpu.lapics[vcpu.plane.number]
    lapic.write_register(0x320, 0x1_0040)
    area = bytearray(vcpu.get_lapic())
    assert len(area) == 1024 and area[0x320:0x324] == (0x1_0040).to_bytes(4, "little")
    area[0x200 + 16 * 6:0x204 + 16 * 6] = (1 << 3).to_bytes(4, "little")        # vector 0xC3
    area[0x80:0x84] = (0x20).to_bytes(4, "little")
    vcpu.set_lapic(bytes(area))
    assert lapic.irr == 1 << 0xC3 and lapic.tpr == 0x20 and vcpu.state.get(layout.INTERRUPT) == 1
    fails(errno.EINVAL, vcpu.set_lapic, b"")
