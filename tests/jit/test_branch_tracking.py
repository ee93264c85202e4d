"""Indirect branch tracking (SDM Vol. 1 17.3; Vol. 2 ENDBR64, JMP, CALL)."""
import pytest

from jit import exits
from tests.jit.rig import CODE, HANDLERS, KCODE, Rig

CR4_CET, CR0_WP = 1 << 23, 1 << 16
ENDBR_EN, LEG_IW_EN, NO_TRACK_EN, SUPPRESS_DIS, SUPPRESS, TRACKER = 4, 8, 16, 32, 1 << 10, 1 << 11
CP, ENDBRANCH = 21, 3
ENDBR64, ENDBR32 = "f30f1efa", "f30f1efb"
TARGET = CODE + 0x400
JMP, CALL, NOTRACK = "ffe0", "ffd0", "3e"
OTHER_PAGE = 0x48000


def rig(mode="long", cpl=0, control=ENDBR_EN, target=TARGET, code="", **registers):
    made = Rig(mode, cpl=cpl)
    made.set("cr0", made.get("cr0") | CR0_WP)
    made.set("cr4", made.get("cr4") | CR4_CET)
    made.set("u_cet" if cpl == 3 else "s_cet", control)
    made.memory.write(target, bytes.fromhex(code))
    made.set("rax", target)
    for name, value in registers.items():
        made.set(name, value)
    made.plane.update_mode()
    for vector in range(32):                        # handlers that may be entered
        made.memory.write(HANDLERS + 16 * vector, bytes.fromhex((ENDBR64 if mode == "long" else ENDBR32) + "f4"))
    return made


def tracked(made, cpl=0):
    return made.get("u_cet" if cpl == 3 else "s_cet")


@pytest.mark.parametrize("branch", (JMP, CALL))
@pytest.mark.parametrize("target", (TARGET, OTHER_PAGE), ids=("same page", "other page"))
@pytest.mark.parametrize("mode, endbranch, wrong", (("long", ENDBR64, ENDBR32), ("pm32", ENDBR32, ENDBR64)))
@pytest.mark.parametrize("cpl", (0, 3))
def test_an_indirect_branch_has_to_reach_an_endbranch(branch, target, mode, endbranch, wrong, cpl):
    made = rig(mode, cpl, target=target, code=endbranch + "90")
    made.step(branch, 3)
    assert made.get("rip") == target + 5 and tracked(made, cpl) == ENDBR_EN
    for code in ("90", wrong):
        made = rig(mode, cpl, target=target, code=code)
        made.run(branch)
        stack = made.get("rsp")
        assert made.vector() == CP and made.read(stack, 4) == ENDBRANCH
        assert made.read(stack + (8 if mode == "long" else 4), 4) == target


def test_the_tracker_waits_where_there_is_no_endbranch():
    made = rig(target=OTHER_PAGE, code="90")
    made.step(JMP, 1)
    assert (made.get("rip"), tracked(made)) == (OTHER_PAGE, ENDBR_EN | TRACKER)


@pytest.mark.parametrize("branch", ("eb00", "e800000000", "7400", "90"))
def test_direct_branches_are_not_tracked(branch):
    made = rig()
    made.step(branch + "90", 2)
    assert made.vector() is None and tracked(made) == ENDBR_EN


def test_returns_are_not_tracked():
    made = rig(code="90")
    made.set("rsp", made.get("rsp") - 8)
    made.write(made.get("rsp"), TARGET)
    made.step("c3", 2)
    assert made.get("rip") == TARGET + 1


@pytest.mark.parametrize("branch", (JMP, CALL))
@pytest.mark.parametrize("allowed", (0, NO_TRACK_EN))
def test_notrack(branch, allowed):
    made = rig(control=ENDBR_EN | allowed, code="90")
    made.step(NOTRACK + branch, 1)
    assert tracked(made) == ENDBR_EN | allowed | (0 if allowed else TRACKER)


def test_an_endbranch_is_a_no_operation_otherwise():
    for control in (0, ENDBR_EN):
        made = rig(control=control)
        made.step(ENDBR64 + ENDBR32, 2)
        assert made.vector() is None and made.get("rip") == CODE + 8


@pytest.mark.parametrize("code, lands", (("90", False), (ENDBR64 + "f4", True)))
def test_a_handler_has_to_start_with_one(code, lands):
    made = rig()
    made.memory.write(HANDLERS + 16 * 6, bytes.fromhex(code))
    assert made.run("0f0b") == exits.HALT
    assert made.vector() == (6 if lands else CP)


def test_syscall_and_far_jump_wait():
    made = rig(efer=Rig().get("efer") | 1, star=KCODE << 32, lstar=TARGET, code="90")
    made.step("0f05", 1)
    assert tracked(made) == ENDBR_EN | TRACKER
    made = rig(rbx=0x90000, code="90")
    made.write(0x90000, TARGET)
    made.write(0x90008, KCODE, 2)
    made.step("48ff2b", 1)
    assert (made.get("rip"), tracked(made)) == (TARGET, ENDBR_EN | TRACKER)


def test_an_event_of_user_mode_leaves_its_tracker_alone():
    """The page of the target is not there: the handler runs with the user's tracker waiting, and IRET goes on so."""
    made = rig(cpl=3, target=OTHER_PAGE, code="90")
    made.set("s_cet", ENDBR_EN)
    made.protect(OTHER_PAGE, 0)
    made.memory.write(HANDLERS + 16 * 14, bytes.fromhex(ENDBR64 + "4883c408 48cf"))
    made.step(JMP, 1)
    made.step(count=1)
    assert (made.get("cpl"), tracked(made, 3), tracked(made)) == (0, ENDBR_EN | TRACKER, ENDBR_EN)
    made.protect(OTHER_PAGE, 7)
    made.step(count=2)
    assert (made.get("cpl"), made.get("rip")) == (3, OTHER_PAGE)
    made.run()
    assert made.vector() == CP


@pytest.mark.parametrize("bit, disabled", ((0, 0), (1, 0), (1, SUPPRESS_DIS)))
def test_legacy_code_page_bitmap(bit, disabled):
    """A page whose bit is set may be entered anywhere; tracking is then suppressed until the next ENDBRANCH."""
    bitmap = 0x90000
    made = rig(control=ENDBR_EN | LEG_IW_EN | disabled | bitmap, code="90" + JMP + ENDBR64)
    made.write(bitmap + (TARGET >> 15), bit << (TARGET >> 12 & 7), 1)
    if not bit:
        made.run(JMP)
        assert made.vector() == CP
        return
    made.step(JMP, 2)
    assert made.get("rip") == TARGET + 1
    assert tracked(made) & (SUPPRESS | TRACKER) == (0 if disabled else SUPPRESS)
    if not disabled:
        made.set("rax", TARGET + 3)
        made.step(count=1)                          # not tracked
        assert tracked(made) & (SUPPRESS | TRACKER) == SUPPRESS
        made.step(count=1)
        assert tracked(made) & (SUPPRESS | TRACKER) == 0


def test_in_a_hot_loop():
    """As often as it takes to fill all caches."""
    made = rig(code=ENDBR64 + "c3", rcx=3000)
    assert made.run("ffd0 e2fc f4", 20000) == exits.HALT
    assert made.get("rip") == CODE + 4 and tracked(made) == ENDBR_EN
