"""Shadow stacks (SDM Vol. 1 17.2; Vol. 2 of each instruction; Vol. 3A 4.6, 4.7, 6.15)."""
import pytest

from jit import exits
from jit.layout import SET_SHADOW, SET_SHADOW_USER, SET_SUPERVISOR, SET_USER
from tests.jit.rig import CODE, HANDLERS, IDT, KCODE, STACK_TOP, TSS, UCODE, Rig, gate
from tests.jit.test_paging import FRAME, LINEAR, READ, WRITE, tables, walk
from tools.lockstep.tables import RW, US, A, D, P

CR4_CET, CR0_WP = 1 << 23, 1 << 16
ENABLE, WRITES = 1, 2
CP, GP, PF, UD = 21, 13, 14, 6
SHADOW, USER_SHADOW, TABLE = 0x60000, 0x64000, 0x68000          # pages; stacks grow down from their ends
TOP, USER_TOP = SHADOW + 0x1000, USER_SHADOW + 0x1000
NEAR_RET, FAR_RET, RSTOR, SETBUSY = 1, 2, 4, 5


def protect(rig, linear, user):
    """Make a page a shadow-stack page: dirty, not writable."""
    rig.protect(linear, P | D | A | (US if user else 0))


def rig(cpl=0, supervisor=ENABLE, user=0, **registers):
    """Shadow stacks on, SSP at the end of the page for this CPL, the token of IA32_PL0_SSP in place."""
    made = Rig(cpl=cpl)
    made.set("cr0", made.get("cr0") | CR0_WP)
    made.set("cr4", made.get("cr4") | CR4_CET)
    made.set("s_cet", supervisor)
    made.set("u_cet", user)
    protect(made, SHADOW, False)
    protect(made, USER_SHADOW, True)
    made.set("ssp", TOP if cpl == 0 else USER_TOP)
    made.set("pl0_ssp", TOP - 8)
    made.write(TOP - 8, TOP - 8)
    for name, value in registers.items():
        made.set(name, value)
    made.plane.update_mode()
    return made


def fault(made):
    """(vector, error code) of the exception whose handler the rig is at."""
    return made.vector(), made.read(made.get("rsp"))


# --- pages ---------------------------------------------

@pytest.mark.parametrize("kind", ("4-level", "5-level", "pae", "32-bit"))
def test_which_pages_are_shadow_stack_pages(kind):
    """Leaf: dirty and not writable; above: writable; and U/S as the access. Error code bit 6 says that it was one."""
    for user, tlb_set in ((US, SET_SHADOW_USER), (0, SET_SHADOW)):
        for leaf, above, fine in ((D, RW, True), (D | RW, RW, False), (0, RW, False), (D, 0, False)):
            made = tables(kind)
            made.map(LINEAR, FRAME, P | user | leaf)
            if not above:
                parent = made.path(LINEAR)[-2]
                if kind == "pae" and len(made.shifts) == 2:
                    continue
                made.write(parent, made.read(parent) & ~RW)
            made.use()
            for access in (READ, WRITE):
                error = 0x41 | (2 if access == WRITE else 0) | (4 if user else 0)
                assert walk(made, access, tlb_set) == (FRAME | LINEAR & 0xFFF if fine else ("fault", error))


def test_shadow_stack_accesses_are_for_their_own_mode_only():
    for user, tlb_set in ((US, SET_SHADOW), (0, SET_SHADOW_USER)):
        made = tables("4-level")
        made.map(LINEAR, FRAME, P | user | D)
        made.use()
        assert walk(made, READ, tlb_set) == ("fault", 0x41 | (4 if tlb_set == SET_SHADOW_USER else 0))


def test_ordinary_accesses_may_read_and_not_write():
    made = tables("4-level")
    made.map(LINEAR, FRAME, P | US | D)
    made.use()
    for tlb_set, user in ((SET_SUPERVISOR, 0), (SET_USER, 4)):
        assert walk(made, READ, tlb_set) == FRAME | LINEAR & 0xFFF
        assert walk(made, WRITE, tlb_set) == ("fault", 3 | user)


# --- near calls and returns ---------------------------------------------

@pytest.mark.parametrize("cpl", (0, 3))
def test_call_and_ret_use_both_stacks(cpl):
    top = TOP if cpl == 0 else USER_TOP
    made = rig(cpl, user=ENABLE)
    made.step("e803000000 9090f4 c3", 1)
    assert made.get("ssp") == top - 8 and made.read(top - 8) == CODE + 5 == made.read(made.get("rsp"))
    made.step(count=1)
    assert (made.get("rip"), made.get("ssp")) == (CODE + 5, top)


def test_indirect_calls_push_too():
    made = rig(rax=CODE + 0x40)
    made.step("ffd0", 1)
    assert made.get("rip") == CODE + 0x40 and made.read(TOP - 8) == CODE + 2 and made.get("ssp") == TOP - 8


def test_a_call_of_the_next_instruction_pushes_nothing():
    made = rig()
    made.step("e800000000", 1)
    assert made.get("ssp") == TOP and made.read(made.get("rsp")) == CODE + 5


def test_a_changed_return_address_is_found():
    made = rig()
    made.step("e803000000 9090f4 48830424 01 c3", 2)
    rsp, ssp = made.get("rsp"), made.get("ssp")
    made.run()
    assert fault(made) == (CP, NEAR_RET)
    assert made.read(made.get("rsp") + 32) == rsp and made.read(made.get("rsp") + 8) == CODE + 13
    assert made.read(TOP - 8) == CODE + 5 and ssp == TOP - 8


def test_a_call_whose_shadow_stack_faults_changes_nothing():
    made = rig(ssp=0x90000)                         # an ordinary page
    stack = made.get("rsp")
    made.set("pl0_ssp", TOP - 8)
    made.write(stack - 8, 0x1234)
    # Delivering the fault needs a shadow stack itself: through an IST entry.
    ist(made, PF)
    made.run("e803000000")
    assert fault(made) == (PF, 0x43) and made.get("cr2") == 0x90000 - 8
    assert made.read(made.get("rsp") + 32) == stack and made.read(stack - 8) == 0x1234


def test_calls_run_fast_and_right_in_a_loop():
    """Many calls, so that the TLB's fast path serves them: the stacks are balanced afterwards."""
    made = rig(rcx=1000)
    assert made.run("e804000000 e2f9 f490 c3".replace(" ", ""), 10000) == exits.HALT
    assert (made.get("ssp"), made.get("rcx"), made.get("rsp")) == (TOP, 0, STACK_TOP)


@pytest.mark.parametrize("mode", ("pm32",))
def test_legacy_mode_pushes_four_bytes(mode):
    made = Rig(mode, paging=True)
    made.set("cr0", made.get("cr0") | CR0_WP)
    made.set("cr4", made.get("cr4") | CR4_CET)
    made.set("s_cet", ENABLE)
    protect(made, SHADOW, False)
    made.set("ssp", TOP)
    made.plane.update_mode()
    made.step("e803000000 9090f4 c3", 1)
    assert made.get("ssp") == TOP - 4 and made.read(TOP - 4, 4) == CODE + 5
    made.step(count=1)
    assert (made.get("rip"), made.get("ssp")) == (CODE + 5, TOP)


# --- events ---------------------------------------------

def ist(made, vector, number=1, stack=0x24800, shadow=SHADOW + 0x818):
    """Give a vector an IST entry, and that a shadow stack with a free token."""
    made.write(IDT + 16 * vector, gate(KCODE, HANDLERS + 16 * vector, 0x8E, number))
    made.write(TSS + 28 + 8 * number, stack)
    made.set("isst", TABLE)
    made.write(TABLE + 8 * number, shadow)
    made.write(shadow, shadow)


def test_an_event_pushes_cs_lip_and_ssp():
    made = rig(ssp=TOP - 16)
    made.run("0f0b")
    assert made.vector() == UD and made.get("ssp") == TOP - 40
    assert [made.read(TOP - n) for n in (24, 32, 40)] == [KCODE, CODE, TOP - 16]


def test_an_event_aligns_the_shadow_stack():
    made = rig(ssp=TOP - 12)
    made.write(TOP - 16, -1)
    made.run("0f0b")
    assert made.get("ssp") == TOP - 40 and made.read(TOP - 16, 4) == 0
    assert [made.read(TOP - n) for n in (24, 32, 40)] == [KCODE, CODE, TOP - 12]


def test_an_event_from_user_mode_switches_stacks():
    made = rig(3, user=ENABLE, ssp=USER_TOP - 8)
    made.run("0f0b")
    assert made.vector() == UD and made.get("pl3_ssp") == USER_TOP - 8
    assert made.get("ssp") == TOP - 8 and made.read(TOP - 8) == TOP - 8 | 1


@pytest.mark.parametrize("token", (TOP - 8 | 1, TOP, 0), ids=("busy", "another", "none"))
def test_a_token_must_be_free_and_name_its_stack(token):
    made = rig(3)
    made.write(TOP - 8, token)
    ist(made, GP)
    made.run("0f0b")
    assert fault(made) == (GP, 0)
    assert made.read(made.get("rsp") + 8) == CODE and made.read(TOP - 8) == token


def test_the_token_and_a_record_share_32_aligned_bytes():
    made = rig(3, pl0_ssp=TOP - 16)
    made.write(TOP - 16, TOP - 16)
    ist(made, GP)
    made.run("0f0b")
    assert fault(made) == (GP, 0)


def test_an_ist_entry_has_a_shadow_stack_of_its_own():
    made = rig()
    ist(made, UD, shadow=SHADOW + 0x818)
    made.run("0f0b")
    at = SHADOW + 0x818
    assert made.vector() == UD and made.read(at) == at | 1 and made.get("ssp") == at - 24
    assert [made.read(at - n) for n in (8, 16, 24)] == [KCODE, CODE, TOP]


# --- returns ---------------------------------------------

IRETQ = "48cf"


def interrupted(made, handler):
    """Run UD2 and a handler made of code, which ends with IRETQ."""
    made.memory.write(HANDLERS + 16 * UD, bytes.fromhex(handler + IRETQ))
    made.code("0f0b")
    made.set("rip", CODE)


def test_iret_checks_and_pops_the_record():
    made = rig()
    interrupted(made, "90")
    made.step(count=1)                              # the NOP of the handler
    made.step(count=1)
    assert (made.get("rip"), made.get("ssp")) == (CODE, TOP)


def test_iret_to_another_place_is_found():
    made = rig()
    interrupted(made, "48830424 02")
    made.run()
    assert fault(made) == (CP, FAR_RET)


def test_iret_from_an_ist_frees_its_token():
    made = rig()
    at = SHADOW + 0x818
    ist(made, UD, shadow=at)
    interrupted(made, "90")
    made.step(count=2)
    assert (made.get("rip"), made.get("ssp"), made.read(at)) == (CODE, TOP, at)


def test_iret_to_user_mode_frees_the_token_and_restores_ssp():
    made = rig(3, user=ENABLE, ssp=USER_TOP - 24)
    interrupted(made, "90")
    made.step(count=2)
    assert made.get("cpl") == 3
    assert (made.get("ssp"), made.read(TOP - 8)) == (USER_TOP - 24, TOP - 8)


def test_iret_wants_ssp_aligned():
    made = rig()
    interrupted(made, "90")
    made.step(count=1)
    made.set("ssp", made.get("ssp") + 4)
    ist(made, CP)
    made.run()
    assert fault(made) == (CP, FAR_RET)


def test_far_call_and_return():
    made = rig(rbx=0x90000)
    made.write(0x90000, CODE + 0x40)
    made.write(0x90008, KCODE, 2)
    made.memory.write(CODE + 0x40, bytes.fromhex("48cb"))
    made.code("48ff1b")
    made.set("rip", CODE)
    made.step(count=1)
    assert [made.read(TOP - n) for n in (8, 16, 24)] == [KCODE, CODE + 3, TOP] and made.get("ssp") == TOP - 24
    made.step(count=1)
    assert (made.get("rip"), made.get("ssp")) == (CODE + 3, TOP)


def test_syscall_and_sysret():
    made = rig(3, user=ENABLE, efer=Rig().get("efer") | 1, star=KCODE << 32 | (UCODE - 16 | 3) << 48, lstar=CODE + 0x40)
    made.memory.write(CODE + 0x40, bytes.fromhex("480f07"))
    made.code("0f05")
    made.set("rip", CODE)
    made.step(count=1)
    assert (made.get("pl3_ssp"), made.get("ssp"), made.get("cpl")) == (USER_TOP, 0, 0)
    made.step(count=1)
    assert (made.get("ssp"), made.get("cpl")) == (USER_TOP, 3)
