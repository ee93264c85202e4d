"""VMRUN, #VMEXIT and running VMPLs; tN: number in the SNP scenario list."""
import pytest

from emu.planes.snp import exits, ghcb, vmsa
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.vmsa import Vmsa
from jit import fpu_layout, group_layout, layout, vmsa_layout
from tests.emu.planes.snp.guest import (
    CODE,
    CPUID,
    NOP,
    PAGE,
    RAX,
    RBX,
    STACK,
    VMGEXIT,
    WINDOW,
    C,
    Guest,
)


class Slow(Hypervisor):
    """One that sees every exit."""

    def __init__(self, guest):
        super().__init__(guest)
        self.failures = []

    def vmrun_failed(self, vcpu, number, code, reason):
        self.failures.append((number, code, reason))
        self.machine.reschedule = True


@pytest.fixture(params=["compiled", "python"])
def guest(request):
    """VMPL0 runs, VMPL2 waits; compiled code, or Python, carries out switches."""
    guest = Guest() if request.param == "compiled" else Guest(hypervisor=Slow)
    assert guest.hv.direct is (request.param == "compiled")
    guest.add_vmpl(2)
    return guest


def call_area(guest, value=None):
    """The calling area's pending byte."""
    if value is not None:
        guest.m.memory.write(PAGE, bytes((value,)))
    return guest.read(PAGE, 1)[0]


def test_the_layouts_agree():
    names = {"VMPL": "vmpl", "CPL": "cpl", "EFER": "efer", "CR4": "cr4", "CR3": "cr3", "CR0": "cr0", "DR7": "dr7",
             "DR6": "dr6", "RFLAGS": "rflags", "RIP": "rip", "DR": "dr0", "RSP": "rsp", "RAX": "rax", "STAR": "star",
             "CR2": "cr2", "PAT": "g_pat", "PKRU": "pkru", "TSC_AUX": "tsc_aux", "TSC_SCALE": "guest_tsc_scale",
             "TSC_OFFSET": "guest_tsc_offset", "RCX": "rcx", "RBP": "rbp", "EXITINFO1": "guest_exitinfo1",
             "EXITINFO2": "guest_exitinfo2", "EXITINTINFO": "guest_exitintinfo", "NRIP": "guest_nrip",
             "SEV_FEATURES": "sev_features", "VINTR_CTRL": "vintr_ctrl", "EXITCODE": "guest_exitcode",
             "VIRTUAL_TOM": "virtual_tom", "EVENTINJ": "eventinj", "XCR0": "xcr0", "X87_DP": "x87_dp", "MXCSR": "mxcsr",
             "FTW": "x87_ftw", "FSW": "x87_fsw", "FCW": "x87_fcw", "FOP": "x87_fop", "X87_DS": "x87_ds",
             "X87_CS": "x87_cs", "X87_RIP": "x87_rip", "X87_SIGNIFICANDS": "x87_significand0",
             "X87_EXPONENTS": "x87_exponent0", "XMM": "xmm0", "YMM_HIGH": "ymm_high0", "GDTR": "gdtr_selector",
             "PL0_SSP": "pl0_ssp", "PL3_SSP": "pl3_ssp", "U_CET": "u_cet", "XSS": "xss", "S_CET": "s_cet", "SSP": "ssp",
             "ISST": "isst_addr", "DEBUGCTL": "dbgctl", "LDTR": "ldtr_selector", "IDTR": "idtr_selector",
             "TR": "tr_selector"}
    for name, field in names.items():
        assert getattr(vmsa_layout, name) == vmsa.FIELDS[field].offset, name
    assert vmsa_layout.FEATURE_DEBUG_SWAP == vmsa.DEBUG_SWAP and vmsa_layout.FEATURE_VTOM == vmsa.VTOM
    assert vmsa_layout.FEATURE_SECURE_TSC == vmsa.SECURE_TSC


def test_every_register_is_saved_and_loaded(guest):
    """A VMSA full of different values comes back byte for byte."""
    state = Vmsa(bytearray(guest.vmsa(2).page))
    count = 0x1122334400000000
    for name in ("rax rcx rdx rbx rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 star lstar cstar sfmask kernel_gs_base "
                 "sysenter_cs sysenter_esp sysenter_eip cr2 fs_base gs_base x87_dp x87_rip").split():
        count += 0x0101
        state[name] = count
    for n in range(16):
        state[f"xmm{n}"], state[f"ymm_high{n}"] = n + 1 << 64 | 7, n + 100 << 64 | 9
    for n in range(8):
        state[f"x87_significand{n}"], state[f"x87_exponent{n}"] = 1 << 63 | n, 0x3FFF + n
    state["x87_ftw"], state["mxcsr"], state["tsc_aux"], state["pkru"] = 0, 0x1FA0, 5, 0x55
    state["rflags"] = 0x8D7
    state["xcr0"] = 7
    before = guest.vmsa(2)
    before.page[:] = bytes(state)
    guest.switch(2)
    guest.step(NOP)
    after = guest.vmsa(2)
    changed = {name for name in vmsa.FIELDS if after[name] != state[name]}
    assert changed <= {"rip", "guest_exitcode", "guest_nrip", "guest_exitinfo1", "guest_exitinfo2"}
    assert after["rip"] == state["rip"] + 1 and after["vmpl"] == 2


def test_t53_a_call_of_the_svsm(guest):
    guest.switch(2)
    call_area(guest, 1)
    guest.step(NOP, rax=6, rcx=1)
    guest.request(exits.RUN_VMPL, 0)
    assert guest.vmpl == 0 and guest.reg(layout.GHCB) & 0xFFF == 0x017
    state = guest.vmsa(2)
    assert state["guest_exitcode"] == exits.VMGEXIT and call_area(guest) == 1
    assert (state["rax"], state["rcx"]) == (6, 1)
    call_area(guest, 0)
    state["rax"], state["rcx"] = 0, 1 << 32 | 1
    guest.switch(2)
    guest.run(0)
    assert guest.vmpl == 2 and (guest.reg(RAX), guest.reg(layout.gpr(1))) == (0, 1 << 32 | 1)
    assert call_area(guest) == 0


def test_t54_the_answer_is_there_before_the_switch(guest):
    guest.switch(2)
    answer = guest.request(exits.RUN_VMPL, 0)
    assert guest.vmpl == 0 and answer["sw_exitinfo1"] == 0 and "rax" not in answer


def test_t55_the_own_vmpl(guest):
    before = guest.vcpu.group.switches
    assert guest.switch(0) == 0x017 and guest.vmpl == 0
    assert guest.request(exits.RUN_VMPL, 0)["sw_exitinfo1"] == 0 and guest.vcpu.group.switches == before


def test_t56_a_vmpl_without_vmsa(guest):
    guest.switch(2)
    rip = guest.reg(layout.RIP)
    assert guest.switch(1) == 0x017 | 1 << 32 and guest.vmpl == 2 and guest.reg(layout.RIP) == rip + 4
    answer = guest.request(exits.RUN_VMPL, 1)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)


def test_t57_no_such_vmpl(guest):
    states = guest.vcpu.group.get(group_layout.RUNNABLE)
    assert guest.switch(7) == 0x017 | 1 << 32
    answer = guest.request(exits.RUN_VMPL, 7)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)
    assert guest.vmpl == 0 and guest.vcpu.group.get(group_layout.RUNNABLE) == states


def test_a_ghcb_that_is_laid_out_otherwise(guest):
    gpa = guest.ghcb()
    guest.hv.write_shared(gpa + ghcb.USAGE, b"\1")
    answer = guest.request(exits.RUN_VMPL, 2)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_USAGE)
    assert guest.vmpl == 0


def test_t58_a_vmsa_without_svme(guest):
    state = guest.vmsa(2)
    state["efer"] &= ~vmsa.EFER_SVME
    before = bytes(state)
    guest.switch(2)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID) and guest.vmpl == 0
    assert bytes(guest.vmsa(2)) == before
    state["efer"] |= vmsa.EFER_SVME
    guest.run(0)
    assert guest.vmpl == 2


@pytest.mark.parametrize("features, code", [
    (vmsa.ALTERNATE_INJECTION, exits.BUSY), (vmsa.ALTERNATE_INJECTION | vmsa.RESTRICTED_INJECTION, exits.INVALID),
    (vmsa.SECURE_AVIC, exits.INVALID), (vmsa.VMSA_REG_PROT, exits.INVALID)])
def test_t59_t75_a_busy_vmsa_and_features_that_exclude_each_other(features, code):
    guest = Guest()
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | features, vintr_ctrl=vmsa.V_BUSY)
    before = bytes(guest.vmsa(2))
    guest.switch(2)
    assert guest.hv.failures[-1][1] == code and bytes(guest.vmsa(2)) == before


def test_t60_a_page_that_is_no_vmsa():
    guest = Guest()
    guest.add_vmpl(2, bless=False)
    guest.switch(2)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID) and "RMP" in guest.hv.failures[-1][2]


@pytest.mark.parametrize("how", ["RMPADJUST", "RMPUPDATE"])
def test_t60_a_page_that_is_no_vmsa_any_more(guest, how):
    """Not an instruction of it is executed, although it ran before and nothing in it has changed."""
    guest.switch(2)
    guest.step(NOP)
    guest.switch(0)
    gpa = guest.vmsa_at(2)
    if how == "RMPUPDATE":
        guest.give(gpa)
    else:
        guest.window(gpa | 7 | C)
        assert guest.adjust(WINDOW, 1, 0, vmsa=0) == 0
    guest.enter()
    guest.plane.set(layout.GHCB, 0x016 | 2 << 32)
    guest.put(VMGEXIT)
    guest.run(5)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID) and guest.vcpu.group.active == 0


def test_t61_an_interrupt_for_vmpl0_while_vmpl2_runs(guest):
    guest.step(b"\xfb\x90", 2)
    guest.switch(2)
    rip, rbx = guest.reg(layout.RIP), 0x1234
    guest.step(NOP, rbx=rbx)
    guest.vcpu.lapics[0].svr |= 0x100
    guest.vcpu.lapics[0].accept(message(0x41))
    guest.run(1)
    assert guest.vmpl == 0 and guest.exception == 0x41
    guest.resume(CODE)
    guest.switch(2)
    guest.run(0)
    assert guest.vmpl == 2 and guest.reg(layout.RIP) == rip + 1 and guest.reg(RBX) == rbx


def message(vector):
    from emu.irq.apicbus import ApicMessage
    return ApicMessage(vector=vector, destination=0)


def test_t63_every_vmpl_has_an_fpu_of_its_own(guest):
    place = fpu_layout.xmm(0)
    guest.enter()
    guest.plane.fpu_set(place, 0xB)
    guest.switch(2)
    guest.plane.fpu_set(place, 0xA)
    guest.switch(0)
    assert guest.plane.fpu_get(place) == 0xB and guest.vmsa(2)["xmm0"] & 0xFF == 0xA
    guest.switch(2)
    assert guest.plane.fpu_get(place) == 0xA


def test_t64_a_lower_vmpl_halts(guest):
    guest.step(b"\xfb\x90", 2)
    guest.switch(2)
    rip = guest.reg(layout.RIP)
    guest.step(b"\xfb\xf4", 2)
    state = guest.vmsa(2)
    assert state["guest_exitcode"] == exits.HLT and state["rip"] == rip + 2 and guest.vmpl == 2
    assert not guest.vcpu.runs()
    guest.vcpu.lapics[0].svr |= 0x100
    guest.vcpu.lapics[0].accept(message(0x41))
    assert guest.vcpu.runs()
    guest.run(1)
    assert guest.vmpl == 0 and guest.exception == 0x41


def test_t64_an_event_of_its_own_wakes_it(guest):
    guest.switch(2)
    guest.step(b"\xfb\xf4", 2)
    guest.vcpu.lapics[2].svr |= 0x100
    guest.vcpu.lapics[2].accept(message(0x42))
    guest.vcpu.waiting.poll(guest.plane)
    guest.run(1)
    assert guest.vmpl == 2 and guest.exception == 0x42


def test_t65_nothing_may_run(guest):
    for number in (0, 2):
        guest.snp.planes.permit(guest.vcpu, number, False)
    guest.run(0)
    assert guest.vmpl == 0 and guest.vcpu.group.get(group_layout.RUNNABLE) & 1


@pytest.mark.parametrize("manager", [0, 1])
def test_t66_a_reflected_exception(manager):
    guest = Guest()
    if manager:
        guest.add_vmpl(1)
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | vmsa.REFLECT_VC)
    guest.switch(2)
    rip = guest.reg(layout.RIP)
    guest.step(CPUID + NOP, rax=0x40000000)
    state = guest.vmsa(2)
    assert guest.vmpl == manager and state["guest_exitcode"] == exits.CPUID and state["rip"] == rip
    assert state["rax"] == 0x40000000 and state["guest_nrip"] == rip + 2
    state["rax"], state["rip"] = 0x1234, state["guest_nrip"]
    guest.switch(2)
    guest.run(1)
    assert guest.vmpl == 2 and guest.reg(RAX) == 0x1234 and guest.reg(layout.RIP) == rip + 3


def test_t67_up_by_another_way_than_down(guest):
    guest.add_vmpl(1)
    guest.switch(1)
    guest.switch(2)
    guest.switch(0)
    assert guest.vmpl == 0


def test_a_vmsa_may_say_another_vmpl():
    """The VMPL is the page's contents, not the hypervisor's number for it."""
    guest = Guest()
    guest.add_vmpl(1)
    guest.vmsa(1)["vmpl"] = 3
    guest.rmp.permissions[3, PAGE >> 12] = 0
    guest.rmp.changed(PAGE >> 12, 1)
    guest.switch(1)
    guest.step(b"\x48\x8b\x00", rax=PAGE)
    assert guest.hv.faults[0].info1 & exits.NPF_VMPL


def test_registers_that_a_more_privileged_vmpl_wrote_count(guest):
    guest.switch(2)
    guest.switch(0)
    guest.vmsa(2)["rip"] = CODE + 0x2800
    guest.vmsa(2)["rsp"] = STACK
    guest.switch(2)
    guest.step(NOP)
    assert guest.reg(layout.RIP) == CODE + 0x2801


def test_a_switch_is_recorded(guest):
    guest.switch(2)
    guest.run(0)
    record = guest.m.switches[-1]
    assert (record["from"], record["to"], record["cause"]) == (0, 2, "run")
    assert record["rip_to"] == CODE + 0x2000
