"""Shadow-stack instructions, and the control registers and MSRs of CET (SDM Vol. 1 chapter 17)."""
import pytest

from jit import exits
from tests.jit.rig import Rig
from tests.jit.test_shadow_stack import (
    CP,
    CR0_WP,
    CR4_CET,
    ENABLE,
    GP,
    PF,
    RSTOR,
    SETBUSY,
    SHADOW,
    TOP,
    UD,
    USER_SHADOW,
    WRITES,
    fault,
    ist,
    rig,
)

# --- instructions ---------------------------------------------


def test_rdssp_is_a_no_operation_without_a_shadow_stack():
    made = rig(supervisor=0, rax=5)
    made.step("f3480f1ec8", 1)
    assert made.get("rax") == 5
    made = rig(rax=-1)
    made.step("f3480f1ec8", 1)
    assert made.get("rax") == TOP
    made = rig(rax=-1)
    made.step("f30f1ec8", 1)
    assert made.get("rax") == TOP


@pytest.mark.parametrize("code, size", (("f30faee8", 4), ("f3480faee8", 8)))
def test_incssp(code, size):
    made = rig(ssp=SHADOW + 0x100, rax=0xFF03)
    made.step(code, 1)
    assert made.get("ssp") == SHADOW + 0x100 + 3 * size


def test_incssp_takes_the_low_byte_and_reads_both_ends():
    made = rig(ssp=SHADOW + 0x100, rax=0xABC00 + 4)
    made.step("f3480faee8", 1)
    assert made.get("ssp") == SHADOW + 0x120
    made = rig(ssp=TOP - 16, rax=3)
    ist(made, PF)
    made.run("f3480faee8")
    assert fault(made) == (PF, 0x41)


@pytest.mark.parametrize("code, size", (("0f38f603", 4), ("480f38f603", 8)))
def test_wrss(code, size):
    made = rig(supervisor=ENABLE | WRITES, rax=0x1122334455667788, rbx=SHADOW + 0x100)
    made.step(code, 1)
    assert made.read(SHADOW + 0x100) == 0x1122334455667788 & (1 << 8 * size) - 1
    made = rig(supervisor=ENABLE, rbx=SHADOW + 0x100)
    made.run(code)
    assert made.vector() == UD
    made = rig(supervisor=ENABLE | WRITES, rbx=SHADOW + 0x102)
    made.run(code)
    assert fault(made) == (GP, 0)


def test_wruss_writes_the_users():
    made = rig(rax=77, rbx=USER_SHADOW + 0x100)
    made.step("66480f38f503", 1)
    assert made.read(USER_SHADOW + 0x100) == 77
    made = rig(rbx=SHADOW + 0x100)
    made.run("66480f38f503")
    assert fault(made) == (PF, 0x47)
    made = rig(3, user=ENABLE, rbx=USER_SHADOW)
    made.run("66480f38f503")
    assert fault(made) == (GP, 0)


def test_rstorssp_and_saveprevssp():
    """Switch to another stack and leave a restore token on the first."""
    new = SHADOW + 0x800
    made = rig(rbx=new - 8)
    made.write(new - 8, new | 1)
    made.step("f30f012b f30f01ea", 1)
    assert made.get("ssp") == new - 8 and made.read(new - 8) == TOP | 3
    assert made.get("flags") & 0x8D5 == 0
    made.step(count=1)
    assert made.get("ssp") == new and made.read(TOP - 8) == TOP | 1


@pytest.mark.parametrize("token", (SHADOW + 0x800, SHADOW + 0x810 | 1, SHADOW + 0x800 | 3))
def test_rstorssp_refuses_other_tokens(token):
    made = rig(rbx=SHADOW + 0x7F8)
    made.write(SHADOW + 0x7F8, token)
    made.run("f30f012b")
    assert fault(made) == (CP, RSTOR) and made.read(SHADOW + 0x7F8) == token


def test_setssbsy_and_clrssbsy():
    made = rig(ssp=0, rbx=TOP - 8)
    made.step("f30f01e8 f30fae33", 1)
    assert made.get("ssp") == TOP - 8 and made.read(TOP - 8) == TOP - 8 | 1
    made.step(count=1)
    assert made.get("ssp") == 0 and made.read(TOP - 8) == TOP - 8 and made.get("flags") & 0x8D5 == 0
    made.step("f30fae33", 1)
    assert made.get("flags") & 0x8D5 == 1 and made.read(TOP - 8) == TOP - 8


def test_setssbsy_refuses_a_busy_token():
    made = rig()
    made.write(TOP - 8, TOP - 8 | 1)
    made.set("ssp", TOP - 8)
    made.run("f30f01e8")
    assert fault(made) == (CP, SETBUSY)


@pytest.mark.parametrize("code", ("f30faee8", "0f38f603", "f30f012b", "f30f01ea", "f30f01e8", "f30fae33"))
def test_without_a_shadow_stack_they_are_undefined(code):
    made = rig(supervisor=0)
    made.run(code)
    assert made.vector() == UD


# --- control registers and MSRs ---------------------------------------------


@pytest.mark.parametrize("cr0, cr4, write", ((0, CR4_CET, "0f22e0"), (CR0_WP, CR4_CET, "0f22c0")))
def test_cet_needs_write_protection(cr0, cr4, write):
    made = Rig()
    made.set("cr0", made.get("cr0") | cr0)
    made.set("rax", made.get("cr4") | cr4)
    if cr0:
        made.set("cr4", made.get("cr4") | cr4)
        made.set("rax", made.get("cr0") & ~CR0_WP)
    made.run(write)
    assert fault(made) == (GP, 0)


@pytest.mark.parametrize("index, value, fine", (
    (0x6A0, 0xC, True), (0x6A0, 1 << 6, False), (0x6A2, 3 << 10, False), (0x6A0, 0x7FFF_0000_0004, True),
    (0x6A0, 1 << 60, False), (0x6A4, 0x1000, True), (0x6A4, 0x1001, False), (0x6A7, 0x1002, False),
    (0x6A7, 0x1004, True), (0x6A8, 0x1007, True), (0x6A8, 1 << 60, False), (0xDA0, 0x1800, True),
    (0xDA0, 0x100, False)))
def test_msrs(index, value, fine):
    made = Rig()
    for name, part in (("rcx", index), ("rax", value & 0xFFFFFFFF), ("rdx", value >> 32)):
        made.set(name, part)
    if not fine:
        made.run("0f30")
        assert fault(made) == (GP, 0)
        return
    made.step("0f30 31c0 31d2 0f32", 4)
    assert made.get("rdx") << 32 | made.get("rax") == value


def test_xsaves_and_xrstors_carry_cet_state():
    made = Rig()
    made.set("cr4", made.get("cr4") | 1 << 18)
    for name, value in (("xcr0", 1), ("xss", 0x1800), ("u_cet", 5), ("pl3_ssp", 0x1000), ("pl0_ssp", 0x2000),
                        ("rax", 0x1800), ("rbx", 0x90000)):
        made.set(name, value)
    made.step("480fc72b", 1)                        # XSAVES64
    assert made.read(0x90200) == 0x1800 and made.read(0x90208) == 0x1800 | 1 << 63
    assert made.words(0x90240, 5, 8) == [5, 0x1000, 0x2000, 0, 0]
    made.write(0x90248, 0x3000)
    made.step("480fc71b", 1)                        # XRSTORS64
    assert (made.get("u_cet"), made.get("pl3_ssp"), made.get("pl0_ssp")) == (5, 0x3000, 0x2000)
    made.write(0x90248, 0x3001)
    made.run("480fc71b")
    assert fault(made) == (GP, 0)


def test_ia32_xss_comes_with_xsaves():
    made = Rig()
    made.set("xss_valid", -1)
    made.set("rcx", 0xDA0)
    assert made.run("0f32") == exits.RDMSR
