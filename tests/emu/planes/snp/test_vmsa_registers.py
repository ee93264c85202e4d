"""Registers of a VMSA beyond the general ones: what is loaded and saved, what VMRUN refuses, the guest's own TSC and
shadow stacks (APM Vol. 2 15.5.1, 15.36.7, 15.36.18, appendix B)."""
import pytest

from emu.planes.snp import exits, vmsa
from emu.planes.snp.checks import NPF_SS, NPF_W
from emu.planes.snp.vmsa import Vmsa
from jit import layout
from tests.emu.planes.snp.guest import CALL, CODE, NOP, PAGE, PF, RAX, RDMSR, RDX, WINDOW, C, Guest
from tests.emu.planes.snp.test_vmsa_switch import Slow

CET, SH_STK, WR_SHSTK = 1 << 23, 1, 2
RDTSC, WRSSQ = b"\x0f\x31", b"\x48\x0f\x38\xf6\x18"          # wrssq [rax], rbx
SHADOW = PAGE + 0x10000                                     # backs the shadow stack at WINDOW


@pytest.fixture(params=["compiled", "python"])
def guest(request):
    """VMPL0 runs, VMPL2 waits; compiled code, or Python, carries out switches."""
    guest = Guest() if request.param == "compiled" else Guest(hypervisor=Slow)
    guest.add_vmpl(2)
    return guest


def test_control_flow_enforcement_and_branch_records_are_kept(guest):
    """Byte for byte, and each VMPL has its own."""
    values = {"pl0_ssp": 0x1000, "pl1_ssp": 0x2000, "pl2_ssp": 0x3000, "pl3_ssp": 0x4000, "u_cet": 3, "s_cet": 1,
              "ssp": 0x5008, "isst_addr": 0x6000, "xss": 0x1800, "br_from": 0x7001, "br_to": 0x7002,
              "last_excp_from": 0x7003, "last_excp_to": 0x7004, "spec_ctrl": 5, "dr0_addr_mask": 0xFFF}
    state = guest.vmsa(2)
    for name, value in values.items():
        state[name] = value
    before = Vmsa(bytearray(state.page))
    guest.switch(2)
    plane = guest.plane
    pl0 = layout.PL0_SSP
    found = [plane.get(at) for at in (pl0, pl0 + 8, pl0 + 16, layout.PL3_SSP, layout.U_CET,
                                      layout.S_CET, layout.SSP, layout.ISST, layout.XSS, layout.LAST_BRANCH)]
    assert found == [0x1000, 0x2000, 0x3000, 0x4000, 3, 1, 0x5008, 0x6000, 0x1800, 0x7001]
    plane.set(layout.PL3_SSP, 0x8888)
    guest.switch(0)
    assert guest.plane.get(layout.S_CET) == 0 and guest.plane.get(layout.SSP) == 0
    after = guest.vmsa(2)
    assert {name for name in values if after[name] != before[name]} == {"pl3_ssp"} and after["pl3_ssp"] == 0x8888


def test_components_that_do_not_exist_are_not_enabled(guest):
    state = guest.vmsa(2)
    state["xcr0"], state["xss"], state["mxcsr"] = (1 << 62) - 2, 1 << 40, 0xFFFF_1F80
    guest.switch(2)
    plane = guest.plane
    assert plane.get(layout.XCR0) == plane.get(layout.XCR0_VALID) and plane.get(layout.XSS) == 0
    guest.step(NOP)
    assert guest.vmsa(2)["mxcsr"] == 0x1F80


@pytest.mark.parametrize("changes, word", [
    ({"cr0": 0xA0010011}, "CR0.NW"), ({"cr0": 1 << 32 | 0x80010011}, "CR0 has"), ({"cr3": 1 << 52 | 0x10000}, "CR3"),
    ({"cr4": 1 << 40 | 0x620}, "CR4 has"), ({"dr6": 1 << 32}, "DR6"), ({"dr7": 1 << 32}, "DR7"),
    ({"efer": 1 << 9 | 0x1D00}, "EFER has"), ({"cr4": CET | 0x620, "cr0": 0x80000011}, "CR4.CET"),
    ({"cr4": 0x600}, "CR4.PAE"), ({"cr0": 0x80010010}, "CR0.PE"), ({"cs_attributes": 0x69B}, "CS is")])
def test_registers_that_vmrun_refuses(guest, changes, word):
    """INVALID, and nothing of the page changes (15.5.1)."""
    state = guest.vmsa(2)
    for name, value in changes.items():
        state[name] = value
    before = bytes(state)
    guest.switch(2)
    number, code, reason = guest.hv.failures[-1]
    assert (number, code) == (2, exits.INVALID) and word in reason and bytes(guest.vmsa(2)) == before


def test_long_mode_is_active_whatever_lma_says(guest):
    guest.vmsa(2)["efer"] = 0x1900                          # SVME, NX, LME
    guest.switch(2)
    guest.step(NOP)
    assert guest.vmsa(2)["efer"] == 0x1D00


# --- Secure TSC -------------------------------------------------------------------------------------------------------

def tsc(guest):
    guest.step(RDTSC)
    return guest.reg(RDX) << 32 | guest.reg(RAX)


def test_a_vmpl_with_a_tsc_of_its_own():
    """15.36.18: scale and offset of the VMSA, which the hypervisor cannot change."""
    guest = Guest()
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | vmsa.SECURE_TSC, guest_tsc_scale=5 << 31,
                   guest_tsc_offset=1 << 40)
    guest.switch(2)
    now = guest.m.clock.tsc
    found = tsc(guest) - (1 << 40)
    assert now * 5 // 2 <= found <= guest.m.clock.tsc * 5 // 2
    guest.step(RDMSR, rcx=0xC001_0134)
    assert guest.reg(RAX) == guest.m.clock.model.tsc_hz * 5 // 2 // 1_000_000
    guest.switch(0)
    assert abs(tsc(guest) - guest.m.clock.tsc) < 100
    guest.vmsa(2)["guest_tsc_offset"] = 1 << 50
    guest.switch(2)
    assert tsc(guest) >> 50 == 1


def test_the_firmware_gives_a_launched_guest_its_tsc():
    from emu.planes.snp.launch import KVM_VMSA_GPA, Launch, LaunchPage, PageType
    firmware = Guest().snp.firmware
    page = vmsa.pack({"sev_features": vmsa.SNP_ACTIVE | vmsa.SECURE_TSC})
    (_, contents), = firmware.launch(Launch((LaunchPage(KVM_VMSA_GPA, PageType.VMSA, page),)), 3 << 31)
    assert Vmsa(bytearray(contents))["guest_tsc_scale"] == 3 << 31 == firmware.tsc_scale
    page = vmsa.pack({"sev_features": vmsa.SNP_ACTIVE})
    (_, contents), = firmware.launch(Launch((LaunchPage(KVM_VMSA_GPA, PageType.VMSA, page),)), 3 << 31)
    assert contents == page


# --- supervisor shadow stacks -----------------------------------------------------------------------------------------

def shadow_guest(features, mask, *more):
    """VMPL2 runs with a supervisor shadow stack at WINDOW, for whose page its permissions are `mask`."""
    guest = Guest()
    guest.window(SHADOW | C | 0x61, *more)
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | features, cr4=CET | 0x620, s_cet=SH_STK | WR_SHSTK,
                   ssp=WINDOW + 0x800)
    guest.rmp.permissions[2, SHADOW >> 12] = mask
    guest.rmp.changed(SHADOW >> 12, 1)
    guest.switch(2)
    return guest


@pytest.mark.parametrize("features, mask", [(0, 3), (vmsa.VMPL_SSS, 0x13)])
def test_a_shadow_stack_that_is_permitted(features, mask):
    guest = shadow_guest(features, mask)
    guest.step(CALL, rax=CODE + 0x8000)
    assert not guest.hv.faults and guest.reg(layout.RIP) == CODE + 0x8000
    assert guest.reg(layout.SSP) == WINDOW + 0x7F8 and int.from_bytes(guest.read(SHADOW + 0x7F8, 8), "little")


def test_a_shadow_stack_without_the_permission():
    """15.36.7: #NPF, which says that it was a shadow stack's and that VMPL2 lacks bit 4."""
    guest = shadow_guest(vmsa.VMPL_SSS, 3)
    rip = guest.reg(layout.RIP)
    guest.step(CALL, rax=CODE + 0x8000)
    fault = guest.hv.faults[0]
    assert fault.info1 & exits.NPF_VMPL and fault.info1 & NPF_SS and fault.info1 & NPF_W
    assert not fault.info1 & exits.NPF_SSS and fault.gpa >> 12 == SHADOW >> 12 and guest.reg(layout.RIP) == rip


def test_other_accesses_do_not_need_it():
    guest = shadow_guest(vmsa.VMPL_SSS, 3)
    guest.step(b"\x48\x8b\x00", rax=WINDOW)
    assert not guest.hv.faults


def test_the_fault_says_whether_the_page_may_be_a_shadow_stack():
    guest = shadow_guest(vmsa.VMPL_SSS, 0x11)
    guest.step(b"\x48\x89\x18", rax=SHADOW)
    assert guest.hv.faults[0].info1 & exits.NPF_SSS and not guest.hv.faults[0].info1 & NPF_SS


@pytest.mark.parametrize("features, vector", [(0, None), (vmsa.VMPL_SSS, PF)])
def test_a_shared_page_is_no_shadow_stack(features, vector):
    """#PF with RSV in the guest."""
    guest = shadow_guest(features, 0x1F, 0x61 | PAGE + 0x20000)
    guest.share(PAGE + 0x20000)
    guest.step(WRSSQ, rax=WINDOW + 0x1000, rbx=0x55)
    if vector is None:
        assert guest.exception is None and not guest.hv.faults
    else:
        found, error, _ = guest.caught()
        assert found == vector and error & 8 and error & 0x40
