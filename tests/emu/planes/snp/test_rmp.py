"""The RMP state machine and PVALIDATE; tN: number in the SNP scenario list."""
import pytest

from emu.planes.snp import exits, rmp
from emu.planes.snp.cipher import HostFault
from emu.planes.snp.rmp import Entry
from jit import layout
from tests.emu.planes.snp.guest import (
    CODE,
    GP,
    LARGE,
    LOAD,
    PAGE,
    PF,
    PSMASH,
    PVALIDATE,
    RAX,
    RMPADJUST,
    RMPUPDATE,
    STORE,
    VC,
    WINDOW,
    C,
    Guest,
)

RMP, FINAL, PRIVATE, SIZE = exits.NPF_RMP, exits.NPF_FINAL, exits.NPF_ENCRYPTED, exits.NPF_SIZE_MISMATCH
BIG = 0x400000                          # a 2 MiB page of its own


@pytest.fixture
def guest():
    return Guest()


def big(guest, validated=False):
    """A 2 MiB entry, mapped as such."""
    first = BIG >> 12
    guest.rmp.validated[first:first + 512] = False
    assert guest.rmp.update(first, Entry(True, guest.snp.asid, first, large=True)) == 0
    guest.nested.map(first, first, 512, large=True)
    if validated:
        guest.rmp.validate(first, True)


def small(guest):
    """512 entries of 4 KiB, not validated."""
    for n in range(512):
        assert guest.give(BIG + n * 4096) == 0


def faults(guest, code, **registers):
    """The #NPF that an instruction causes; RIP stays."""
    rip = guest.reg(layout.RIP)
    del guest.hv.faults[:]
    guest.step(code, **registers)
    assert guest.reg(layout.RIP) == rip and guest.exception is None
    return guest.hv.faults[0]


def test_t01_a_page_is_assigned_and_accepted(guest):
    assert guest.give(PAGE) == rmp.SUCCESS
    assert guest.validate(PAGE) == (0, 0, 1)
    assert guest.entry(PAGE) == (True, (rmp.ALL, 0, 0, 0))


def test_t02_accepting_a_page_twice_is_told_by_the_carry_flag(guest):
    guest.give(PAGE)
    guest.validate(PAGE)
    before = guest.entry(PAGE)
    assert guest.validate(PAGE) == (0, 1, 1) and guest.entry(PAGE) == before


@pytest.mark.parametrize("engine", ["interp", "auto"])
def test_t03_a_rescinded_page_faults(engine):
    guest = Guest(engine)
    guest.step(LOAD, rax=PAGE)              # a translation that has to go
    assert guest.validate(PAGE, valid=0) == (0, 0, 1)
    rip = guest.reg(layout.RIP)
    guest.step(LOAD, rax=PAGE)
    assert guest.caught() == (VC, exits.PAGE_NOT_VALIDATED, rip) and guest.reg(layout.CR2) == PAGE


def test_t04_rescinding_twice_is_told_by_the_carry_flag(guest):
    guest.validate(PAGE, valid=0)
    assert guest.validate(PAGE, valid=0) == (0, 1, 1)


def test_t05_a_page_that_was_not_accepted_is_not_written(guest):
    guest.give(PAGE)
    rip = guest.reg(layout.RIP)
    guest.step(STORE, rax=PAGE, rbx=0x1234)
    assert guest.caught() == (VC, exits.PAGE_NOT_VALIDATED, rip)
    assert guest.read(PAGE, 8) == bytes(8)


def test_t06_pvalidate_of_a_page_of_the_hypervisors(guest):
    page = PAGE >> 12
    guest.rmp.update(page, Entry(False))
    fault = faults(guest, PVALIDATE, rax=PAGE, rcx=0, rdx=1)
    assert fault.info1 & (RMP | FINAL | PRIVATE) == RMP | FINAL | PRIVATE and fault.gpa == PAGE


def test_t07_a_page_that_stands_at_another_address(guest):
    page = PAGE >> 12
    guest.nested.map(page, page + 1)
    assert guest.rmp.validated[page + 1]
    fault = faults(guest, LOAD, rax=PAGE)
    assert fault.info1 & RMP and fault.gpa == PAGE


def test_t08_a_page_of_another_guest(guest):
    guest.give(PAGE, asid=6)
    guest.rmp.validate(PAGE >> 12, True)
    for code in (LOAD, STORE, PVALIDATE):
        assert faults(guest, code, rax=PAGE).info1 & RMP


def test_t09_an_immutable_page(guest):
    guest.give(PAGE, immutable=True)
    assert faults(guest, PVALIDATE, rax=PAGE, rcx=0, rdx=1).info1 & RMP
    assert faults(guest, RMPADJUST, rax=PAGE, rcx=0, rdx=2 | 3 << 8).info1 & RMP
    assert guest.give(PAGE) == rmp.FAIL_PERMISSION


def test_t10_a_2m_request_for_4k_pages(guest):
    small(guest)
    assert guest.validate(BIG, size=1) == (rmp.FAIL_SIZEMISMATCH, 0, 0)
    assert not guest.rmp.validated[BIG >> 12:(BIG >> 12) + 512].any()


def test_t11_a_4k_request_for_a_2m_page(guest):
    big(guest)
    fault = faults(guest, PVALIDATE, rax=BIG + 0x3000, rcx=0, rdx=1)
    assert fault.info1 & (RMP | SIZE) == RMP | SIZE
    assert guest.rmp.psmash(BIG >> 12) == 0
    guest.nested.split(BIG >> 12)
    guest.run(1)
    assert guest.reg(RAX) == 0 and guest.entry(BIG + 0x3000)[0] and not guest.entry(BIG)[0]


def test_t11_the_hypervisor_does_that_by_itself():
    guest = Guest()
    guest.hv.recording = False
    big(guest)
    assert guest.validate(BIG + 0x3000) == (0, 0, 1) and len(guest.hv.faults) == 1


def test_t12_psmash_keeps_what_the_entry_says(guest):
    big(guest, validated=True)
    guest.rmp.adjust(BIG >> 12, 2, 3, None)
    first = BIG >> 12
    assert guest.rmp.psmash(first) == 0
    place = slice(first, first + 512)
    assert guest.rmp.validated[place].all() and (guest.rmp.permissions[2, place] == 3).all()
    assert list(guest.rmp.gfn[place]) == list(range(first, first + 512)) and not guest.rmp.large[place].any()


def test_t13_what_psmash_refuses(guest):
    assert guest.rmp.psmash(BIG >> 12) == rmp.FAIL_BADADDR
    assert guest.rmp.psmash((BIG >> 12) + 1) == rmp.FAIL_INPUT
    big(guest)
    guest.rmp.running = lambda: [(BIG >> 12) + 5]
    assert guest.rmp.psmash(BIG >> 12) == rmp.FAIL_INUSE


def test_t14_a_2m_operand_that_is_not_aligned(guest):
    assert guest.validate(0x1000, size=1) == (rmp.FAIL_INPUT, 0, 0)


@pytest.mark.parametrize("allowed", [False, True])
def test_t15_pvalidate_is_for_vmpl0(allowed):
    guest = Guest(pvalidate_by_vmpl=allowed)
    guest.add_vmpl(1)
    guest.give(PAGE)
    guest.switch(1)
    guest.step(PVALIDATE, rax=PAGE, rcx=0, rdx=1)
    assert (guest.exception == GP) is not allowed and guest.entry(PAGE)[0] is allowed


def user_page(guest):
    """Code at CPL 3 in a page of its own: its address."""
    guest.window(PAGE | 7 | C)
    guest.enter()
    guest.plane.set(layout.RIP, WINDOW)
    for number, selector in ((layout.CS, 0x1B), (layout.SS, 0x23)):
        guest.plane.set(layout.seg(number, layout.SEG_SELECTOR), selector)
        attributes = guest.reg(layout.seg(number, layout.SEG_ATTR))
        guest.plane.set(layout.seg(number, layout.SEG_ATTR), attributes | 0x60)
    guest.plane.set(layout.CPL, 3)
    guest.plane.update_mode()
    return PAGE


def test_t16_pvalidate_at_cpl_3(guest):
    guest.give(BIG)
    at = user_page(guest)
    guest.put(PVALIDATE, at)
    guest.plane.set(RAX, BIG)
    guest.run(1)
    assert guest.exception == GP and not guest.entry(BIG)[0]


def test_t17_assigning_a_page_again_takes_its_validation(guest):
    guest.give(PAGE)
    guest.validate(PAGE)
    guest.step(LOAD, rax=PAGE)
    assert guest.give(PAGE) == 0 and not guest.entry(PAGE)[0]
    guest.step(LOAD, rax=PAGE)
    assert guest.caught()[:2] == (VC, exits.PAGE_NOT_VALIDATED)


def test_t18_the_host_writes_to_a_private_page(guest):
    guest.step(STORE, rax=PAGE, rbx=0x1122334455667788)
    with pytest.raises(HostFault) as caught:
        guest.snp.cipher.write(PAGE, b"attack")
    assert caught.value.error == 1 << 31 | 2 | 1
    assert guest.read(PAGE, 8) == (0x1122334455667788).to_bytes(8, "little")
    assert guest.snp.cipher.read(PAGE, 8) != guest.read(PAGE, 8)


@pytest.mark.parametrize("code", [RMPUPDATE, PSMASH])
def test_t19_a_hosts_instruction_in_a_guest(guest, code):
    before = guest.entry(BIG)
    guest.step(code, rax=BIG, rcx=PAGE)
    assert guest.reg(RAX) == rmp.FAIL_PERMISSION and guest.entry(BIG) == before


def test_t20_the_guests_page_tables_come_first(guest):
    guest.rmp.update(PAGE >> 12, Entry(False))
    guest.window(PAGE | 6 | C)
    guest.step(LOAD, rax=WINDOW)
    assert guest.exception == PF and not guest.hv.faults


def test_t21_the_nested_page_table_comes_before_the_rmp(guest):
    guest.rmp.update(PAGE >> 12, Entry(False))
    guest.nested.unmap(PAGE >> 12)
    fault = faults(guest, LOAD, rax=PAGE)
    assert not fault.info1 & (RMP | 1)


def test_t21a_size_comes_before_validation(guest):
    big(guest)
    guest.nested.split(BIG >> 12)           # 4 KiB mappings over a 2 MiB entry
    assert faults(guest, LOAD, rax=BIG).info1 & RMP
    guest.rmp.psmash(BIG >> 12)
    guest.run(1)
    assert guest.caught()[:2] == (VC, exits.PAGE_NOT_VALIDATED)


def test_t21b_validation_comes_before_permissions(guest):
    guest.add_vmpl(2)
    guest.give(PAGE)
    guest.switch(2)
    guest.step(LOAD, rax=PAGE)
    assert guest.vmpl == 2 and guest.caught()[:2] == (VC, exits.PAGE_NOT_VALIDATED)


def test_a_2m_page_is_accepted_as_one(guest):
    big(guest)
    assert guest.validate(BIG, size=1) == (0, 0, 1)
    guest.step(LOAD, rax=BIG + LARGE - 8)
    assert guest.exception is None and guest.validate(BIG, size=1) == (0, 1, 1)


@pytest.mark.parametrize("entry, code", [
    (Entry(True, 1, 1, large=True), rmp.FAIL_INPUT), (Entry(False, 1), rmp.FAIL_INPUT),
    (Entry(False, immutable=True), rmp.FAIL_INPUT)])
def test_what_rmpupdate_refuses(guest, entry, code):
    assert guest.rmp.update(BIG >> 12, entry) == code
    assert guest.rmp.update(guest.rmp.pages, Entry(False)) == rmp.FAIL_INPUT


def test_a_4k_entry_in_a_valid_2m_one_overlaps(guest):
    big(guest, validated=True)
    assert guest.give(BIG + 0x1000) == rmp.FAIL_OVERLAP


def test_a_retried_instruction_is_in_place(guest):
    assert guest.reg(layout.RIP) == CODE
