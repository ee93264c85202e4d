"""Policies of other architectures beside SEV-SNP's; tN: number in the SNP scenario list."""
import pytest

from emu.planes.cca import ALL, READ, InputError, Overlays, check_enter
from jit import fpu_layout, layout
from tests.emu.planes.kvm.guest import NOP, RUN, VMCALL, Kvm
from tests.emu.planes.vsm.guest import Guest as VsmGuest

IF, TPR = 0x200, 0x80
EPERM, EINVAL = (1 << 64) - 1, (1 << 64) - 22      # negative, as hypercalls return them


def entered(policy, to):
    """Plane 0 has entered another, by the policy's call."""
    g = Kvm(policy, planes=3)
    g.at(to, NOP * 8, rflags=IF | 2)
    g.at(0, VMCALL + NOP * 8, rax=RUN, rbx=to)
    g.steps(1)
    assert g.active == to
    return g


def test_t95_cca_forces_p0_for_an_interrupt_that_waits():
    g = entered("CCA", 1)
    g.vcpu.lapics[0].write_register(TPR, 0xF0)      # whatever is in IRR counts
    g.irq(0, 0x40)
    g.steps(1)
    assert g.active == 0


@pytest.mark.parametrize("index, page", [(0, 0x1000), (3, 0x1000), (-1, 0x1000), (1, 0x1008)])
def test_t96_cca_refuses_other_planes_and_pages(index, page):
    with pytest.raises(InputError):
        check_enter(index, 2, page)
    check_enter(2, 2, 0x1000)


def test_t96_cca_does_not_enter_a_plane_that_is_not_there():
    g = Kvm("CCA", planes=2)
    g.at(0, VMCALL + NOP, rax=RUN, rbx=5)
    g.steps(1)
    assert g.active == 0 and g.reg("rax") == EINVAL


def test_t97_cca_locks_an_overlay_index_that_is_used():
    overlays = Overlays(planes=2)
    overlays.set(1, 3, READ)
    overlays.use(3)
    with pytest.raises(InputError):
        overlays.set(1, 3, ALL)
    assert overlays.value(1, 3) == READ
    for plane, index in ((1, 0), (1, 15), (3, 4)):
        with pytest.raises(InputError):
            overlays.set(plane, index, READ)
    with pytest.raises(InputError):
        overlays.use(15)


def test_t98_tdx_gates_l1_by_its_priority():
    g = entered("TDX", 1)
    g.vcpu.lapics[0].write_register(TPR, 0x50)
    g.irq(0, 0x45)
    g.steps(2)
    assert g.active == 1
    g.irq(0, 0x61)
    g.steps(1)
    assert g.active == 0 and g.path()[-1] == (1, 0, "interrupt")


def test_t99_tdx_enters_no_l2_but_from_l1():
    g = entered("TDX", 1)
    g.at(1, VMCALL + NOP, rax=RUN, rbx=2)
    g.steps(1)
    assert g.active == 1 and g.reg("rax") == EPERM


def test_t100_vsm_shares_the_vector_registers():
    g = VsmGuest()
    g.enter_vtl1()
    g.vtl_return()
    g.plane.fpu_set(fpu_layout.xmm(0), 0xA)
    g.vcpu.planes[1].set(layout.NMI, 1)
    g.run(1)
    assert g.vtl == 1 and g.plane.fpu_get(fpu_layout.xmm(0)) == 0xA
