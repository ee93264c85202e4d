"""VMPL permissions and the C-bit; tN: number in the SNP scenario list."""
import itertools
import random

import pytest

from emu.planes.snp import exits, rmp
from emu.planes.snp.checks import Access, NestedFault, check
from emu.planes.snp.rmp import Entry
from jit import guards, layout
from tests.emu.planes.snp.guest import (
    CALL,
    INVLPGB,
    LOAD,
    NOP,
    PAGE,
    PD,
    PF,
    PT,
    RAX,
    RCX,
    RDX,
    RMPQUERY,
    STORE,
    TLBSYNC,
    VC,
    WINDOW,
    C,
    Guest,
)
from tests.emu.planes.snp.test_rmp import RMP, faults, user_page

VMPL, TABLE, FETCH = exits.NPF_VMPL, exits.NPF_TABLE, 16
R, W, XU, XS = 1, 2, 4, 8


@pytest.fixture(params=["interp", "auto"])
def guest(request):
    """VMPL0 runs, VMPL2 waits with every permission."""
    guest = Guest(request.param)
    guest.add_vmpl(2)
    return guest


def restrict(guest, mask, vmpl=2, page=PAGE):
    """VMPL0 changes a page's mask, then VMPL2 runs."""
    if guest.vmpl:
        guest.switch(0)
    assert guest.adjust(page, vmpl, mask) == 0
    guest.switch(2)


def test_t22_permissions_are_granted(guest):
    restrict(guest, R | W)
    guest.step(STORE, rax=PAGE, rbx=7)
    guest.step(LOAD, rax=PAGE)
    assert guest.reg(RAX) == 7 and guest.vmpl == 2
    guest.step(CALL, rax=PAGE)
    guest.run(1)
    (fault,) = guest.hv.faults
    assert fault.info1 & (RMP | VMPL | FETCH) == RMP | VMPL | FETCH and fault.gpa == PAGE


def test_t23_users_and_supervisors_execute_by_bits_of_their_own(guest):
    restrict(guest, R | XU)
    guest.step(CALL, rax=PAGE)
    guest.run(1)
    assert guest.hv.faults[0].info1 & VMPL
    user_page(guest)
    guest.put(NOP, PAGE)
    guest.run(1)
    assert guest.reg(layout.RIP) == WINDOW + 1 and len(guest.hv.faults) == 1


@pytest.mark.parametrize("code", [LOAD, STORE])
def test_t24_write_without_read(guest, code):
    restrict(guest, W)
    assert faults(guest, code, rax=PAGE).info1 & VMPL


def test_t25_no_vmpl_adjusts_itself_or_its_betters():
    guest = Guest()
    guest.add_vmpl(1)
    before = guest.entry(PAGE)
    assert guest.adjust(PAGE, 0, R) == rmp.FAIL_PERMISSION
    guest.switch(1)
    assert guest.adjust(PAGE, 1, R) == guest.adjust(PAGE, 0, R) == rmp.FAIL_PERMISSION
    assert guest.entry(PAGE) == before


def test_t26_nobody_grants_more_than_he_has():
    guest = Guest()
    guest.add_vmpl(1)
    assert guest.adjust(PAGE, 1, R) == 0
    guest.switch(1)
    assert guest.adjust(PAGE, 2, R | W) == rmp.FAIL_PERMISSION and guest.entry(PAGE)[1][2] == 0
    assert guest.adjust(PAGE, 2, R) == 0 and guest.entry(PAGE)[1][2] == R


def test_t27_only_vmpl0_makes_vmsas():
    guest = Guest()
    guest.add_vmpl(1)
    guest.switch(1)
    assert guest.adjust(PAGE, 2, R, vmsa=1) == 0 and not guest.rmp.vmsa[PAGE >> 12]
    guest.switch(0)
    assert guest.adjust(PAGE, 2, R, vmsa=1) == 0 and guest.rmp.vmsa[PAGE >> 12]


@pytest.mark.parametrize("vmpl, code", [(0, 0), (1, 2), (2, 2)])
def test_t28_who_may_adjust_vmpl1_runs_at_vmpl0(vmpl, code):
    guest = Guest()
    if vmpl:
        guest.add_vmpl(vmpl)
        guest.switch(vmpl)
    assert guest.adjust(PAGE, 1, guest.entry(PAGE)[1][1]) == code


def test_t29_rmpadjust_of_a_page_that_is_not_validated(guest):
    guest.give(PAGE)
    rip = guest.reg(layout.RIP)
    guest.adjust(PAGE, 2, R)
    assert guest.caught() == (VC, exits.PAGE_NOT_VALIDATED, rip) and guest.entry(PAGE)[1][2] == 0


def test_t30_a_page_table_that_must_not_be_read(guest):
    guest.window(PAGE | 0x67 | C)
    restrict(guest, XU | XS, page=PT)
    fault = faults(guest, LOAD, rax=WINDOW)
    assert fault.info1 & (TABLE | VMPL) == TABLE | VMPL and fault.gpa == PT


def test_t31_an_accessed_bit_that_cannot_be_set(guest):
    guest.window(PAGE | 7 | C)
    restrict(guest, R, page=PT)
    fault = faults(guest, LOAD, rax=WINDOW)
    assert fault.info1 & (TABLE | VMPL | 2) == TABLE | VMPL | 2 and fault.gpa == PT
    assert guest.read(PT, 8) == (PAGE | 7 | C).to_bytes(8, "little")


def test_t32_vmpl0_needs_no_permission(guest):
    guest.rmp.permissions[1:, :guest.nested.frames] = 0
    guest.rmp.changed(0, guest.nested.frames)
    guest.step(STORE, rax=PAGE, rbx=0x90)
    guest.step(LOAD, rax=PAGE)
    assert guest.reg(RAX) == 0x90
    guest.step(CALL, rax=PAGE)
    guest.run(1)
    assert guest.reg(layout.RIP) == PAGE + 1 and not guest.hv.faults


@pytest.mark.parametrize("lazy", [False, True])
def test_t33_a_translation_that_is_out_of_date(lazy):
    guest = Guest(lazy=lazy)
    guest.add_vmpl(2)
    guest.switch(2)
    guest.step(STORE, rax=PAGE, rbx=1)
    guest.step(STORE, rax=PAGE, rbx=1)          # by a translation
    guest.switch(0)
    assert guest.adjust(PAGE, 2, R) == 0
    guest.switch(2)
    if lazy:
        guest.step(STORE, rax=PAGE, rbx=2)
        assert guest.read(PAGE, 1) == b"\2"
        guest.switch(0)
        guest.step(INVLPGB, rax=0, rcx=0, rdx=0)
        guest.step(TLBSYNC)
        guest.switch(2)
    assert faults(guest, STORE, rax=PAGE, rbx=3).info1 & VMPL


def test_t34_rmpquery(guest):
    assert guest.adjust(PAGE, 3, 0xB) == 0
    guest.step(RMPQUERY, rax=PAGE, rdx=3, rcx=~0 & 0xFF)
    assert (guest.reg(RAX), guest.reg(RDX) >> 8 & 0xFF, guest.reg(RCX) & 1) == (0, 0xB, 0)
    assert not guest.reg(RDX) >> 16


# --- C-bit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ciphertext", [False, True])
def test_t35_a_shared_read_of_a_private_page(ciphertext):
    guest = Guest(ciphertext=ciphertext)
    guest.step(STORE, rax=PAGE, rbx=0x1122334455667788)
    guest.window(PAGE | 7)
    guest.step(LOAD, rax=WINDOW)
    seen = guest.reg(RAX)
    assert seen != 0x1122334455667788 and guest.exception is None
    if ciphertext:
        assert seen == int.from_bytes(guest.snp.cipher.read(PAGE, 8), "little")
        guest.step(STORE, rax=PAGE, rbx=0x1122334455667789)
        guest.step(LOAD, rax=WINDOW)
        assert guest.reg(RAX) != seen
    else:
        assert seen == 0


def test_t36_a_shared_write_of_a_private_page():
    guest = Guest()
    guest.window(PAGE | 7)
    fault = faults(guest, STORE, rax=WINDOW, rbx=5)
    assert fault.info1 & (RMP | exits.NPF_FINAL | exits.NPF_ENCRYPTED) == RMP | exits.NPF_FINAL
    assert guest.read(PAGE, 8) == bytes(8)


def test_t37_a_private_access_to_a_shared_page():
    guest = Guest()
    guest.share(PAGE)
    assert faults(guest, LOAD, rax=PAGE).info1 & exits.NPF_ENCRYPTED
    guest.hv.recording = False
    guest.run(1)
    assert guest.caught()[:2] == (VC, exits.PAGE_NOT_VALIDATED)
    guest.resume(0x20000)
    assert guest.validate(PAGE) == (0, 0, 1)
    guest.step(LOAD, rax=PAGE)
    assert guest.exception is None


def test_t38_a_fetch_is_always_private():
    guest = Guest()
    guest.share(PAGE)
    guest.window(PAGE | 7)
    guest.step(CALL, rax=WINDOW)
    guest.run(1)
    fault = guest.hv.faults[0]
    assert fault.info1 & (exits.NPF_ENCRYPTED | FETCH) == exits.NPF_ENCRYPTED | FETCH


@pytest.mark.parametrize("bit", [46, 50])
def test_t39_an_address_bit_that_does_not_exist(bit):
    guest = Guest()
    guest.window(PAGE | 7 | C | 1 << bit)
    guest.step(LOAD, rax=WINDOW)
    vector, error, _ = guest.caught()
    assert vector == PF and error & 9 == 9


def test_t40_virtual_top_of_memory():
    from emu.planes.snp import vmsa
    from tests.emu.planes.snp.guest import PML4
    guest = Guest()
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | vmsa.VTOM, virtual_tom=0x400000, cr3=PML4)
    tables = {at: guest.read(at, 4096) for at in (PML4, PML4 + 0x1000, PD)}
    for at, data in tables.items():
        entries = [int.from_bytes(data[n:n + 8], "little") & ~C for n in range(0, 4096, 8)]
        guest.m.memory.write(at, b"".join(entry.to_bytes(8, "little") for entry in entries))
    for gpa in (0x400000, 0x200000):
        guest.m.memory.write(gpa, b"private!")
    guest.share(0x400000)
    guest.m.memory.write(guest.hv.shared_page(0x400000), b"shared!!")
    guest.snp.planes.permit(guest.vcpu, 0, False)
    guest.snp.planes.permit(guest.vcpu, 2, True)
    guest.run(0)
    guest.step(LOAD, rax=0x400000)
    assert guest.vmpl == 2 and guest.reg(RAX) == int.from_bytes(b"shared!!", "little")
    guest.step(LOAD, rax=0x200000)
    assert guest.reg(RAX) == int.from_bytes(b"private!", "little")
    guest.window(PAGE | 7 | C)
    guest.m.memory.write(PD + 8, (PT | 7).to_bytes(8, "little"))
    guest.step(LOAD, rax=WINDOW)
    assert guest.exception == PF and guest.caught()[1] & 8


def test_t41_without_paging_everything_is_private():
    guest = Guest()
    guest.share(PAGE)
    guest.enter()
    guest.plane.set(layout.CR0, 0x11)
    guest.plane.set(layout.EFER, 0x1000)
    guest.plane.set(layout.seg(layout.CS, layout.SEG_ATTR), 0xC09B)
    guest.plane.update_mode()
    guest.snp.flush()
    guest.put(b"\x89\x18")                 # mov [eax], ebx
    guest.plane.set(RAX, PAGE)
    guest.run(1)
    fault = guest.hv.faults[0]
    assert fault.info1 & exits.NPF_ENCRYPTED and fault.info1 & 2


# --- the rule and the tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 64])
def test_compiled_code_is_told_what_the_rule_says(pages):
    """Whether one page changed or many."""
    guest = Guest()
    choice = random.Random(1)
    table, nested = guest.rmp, guest.nested
    first = 0x400
    for n in range(64):
        page = first + n
        table.update(page, Entry(choice.random() < 0.8, 0, page))
        table.assigned[page] = choice.random() < 0.9
        table.asid[page] = choice.choice((1, 1, 1, 2))
        table.gfn[page] = choice.choice((page, page, page, page + 1))
        table.immutable[page] = choice.random() < 0.1
        table.validated[page] = choice.random() < 0.8
        table.large[page] = choice.random() < 0.1
        table.permissions[:, page] = [choice.randrange(32) for _ in range(4)]
        nested.page[page] = choice.choice((page, page, page, -1, page + nested.frames))
    for at in range(first, first + 64, pages):
        guest.snp.tables.refresh(at, pages)
    kinds = ((False, False, guards.DENY_READ), (True, False, guards.DENY_WRITE), (False, True, guards.DENY_EXECUTE))
    for n, vmpl, (write, fetch, bit) in itertools.product(range(64), range(4), kinds):
        gfn = first + n
        denied = guest.snp.tables.bytes[vmpl][gfn]
        for user in (False, True) if fetch else (False,):
            access = Access(gfn << 12, write, fetch, private=True, user=user, vmpl=vmpl)
            said = denied & (guards.DENY_USER_EXECUTE if user else bit)
            assert bool(said) == (check(table, nested, 1, access) is not None), (n, access)
            shadow = access._replace(shadow=True)
            said |= 0 if fetch else denied & guards.DENY_SHADOW_STACK
            assert fetch or bool(said) == (check(table, nested, 1, shadow) is not None), (n, shadow)
        if not fetch:
            refusal = check(table, nested, 1, Access(gfn << 12, write, private=False, vmpl=vmpl))
            assert bool(denied & bit << guards.SHARED_SHIFT) == isinstance(refusal, NestedFault)
