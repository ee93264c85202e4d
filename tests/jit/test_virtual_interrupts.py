"""CR4.VME and CR4.PVI (SDM Vol. 3A 20.3, 20.4; Vol. 2 CLI, INT n, IRET, STI)."""
import pytest

from tests.jit.rig import CODE, STACK, TSS, Rig

VME, PVI = 1, 2
IF, TF, VM, VIF, VIP, IOPL3 = 1 << 9, 1 << 8, 1 << 17, 1 << 19, 1 << 20, 3 << 12
GP = 13
IO_MAP = 0x100                  # in the TSS; the redirection bitmap is the 32 bytes before it
TARGET_CS, TARGET_IP = 0x1200, 0x34


def rig(flags=0, redirected=True, cr4=VME):
    """A virtual-8086 program whose INT 21H goes to its own vector table or not."""
    made = Rig("vm86")
    made.set("cr4", cr4)
    made.set("flags", 2 | VM | flags)
    made.write(TSS + 0x66, IO_MAP, 2)
    for n in range(32):
        made.write(TSS + IO_MAP - 32 + n, 0 if redirected else 0xFF, 1)
    made.write(4 * 0x21, TARGET_CS << 16 | TARGET_IP, 4)
    made.plane.update_mode()
    return made


def pushed(made):
    """IP, CS and FLAGS on the program's stack."""
    return made.words(STACK + (made.get("rsp") & 0xFFFF), 3, 2)


@pytest.mark.parametrize("flags, image, cleared", (
    (IOPL3 | IF, IOPL3 | IF | 2, IF), (VIF, IOPL3 | IF | 2, VIF), (IF, IOPL3 | 2, VIF)))
def test_int_n_goes_to_the_programs_own_handler(flags, image, cleared):
    made = rig(flags)
    made.step("cd21", 1)
    assert (made.get("cs"), made.get("cs.base"), made.get("rip")) == (TARGET_CS, TARGET_CS << 4, TARGET_IP)
    assert pushed(made) == [2, CODE >> 4, image] and made.get("cpl") == 3
    assert not made.get("flags") & cleared and made.get("flags") & VM


def test_the_bitmap_sends_it_to_the_idt():
    made = rig(IOPL3, redirected=False)
    made.write(0x3000 + 8 * 0x21 + 5, 0xEE, 1)      # a gate of DPL 3
    made.step("cd21", 1)
    assert made.vector() == 0x21 and made.get("cpl") == 0
    made = rig(0, redirected=False)
    made.run("cd21")
    assert made.vector() == GP


def test_int3_is_never_redirected():
    made = rig(IOPL3)
    made.write(0x3000 + 8 * 3 + 5, 0xEE, 1)
    made.step("cc", 1)
    assert made.vector() == 3


def test_without_vme_int_n_needs_iopl_3():
    made = rig(0, cr4=0)
    made.run("cd21")
    assert made.vector() == GP


def protected(flags=0):
    made = Rig("pm32", cpl=3)
    made.set("cr4", PVI)
    made.set("flags", 2 | flags)
    return made


@pytest.mark.parametrize("make", (rig, protected), ids=("VME", "PVI"))
def test_cli_and_sti_change_vif(make):
    made = make(IF)
    made.step("fb", 1)
    assert made.get("flags") & (IF | VIF) == IF | VIF
    made = make(IF | VIF)
    made.step("fa", 1)
    assert made.get("flags") & (IF | VIF) == IF
    made = make(VIP)
    made.run("fb")
    assert made.vector() == GP


def test_without_them_they_fault():
    for made in (rig(0, cr4=PVI), Rig("pm32", cpl=3)):
        made.run("fa")
        assert made.vector() == GP


def test_sixteen_bit_iret_loads_vif():
    made = rig(IF)
    made.write(STACK + 0x800, 0x1234 | TARGET_CS << 16 | (IF | IOPL3 | 1) << 32)
    made.step("cf", 1)
    assert (made.get("cs"), made.get("rip"), made.get("rsp")) == (TARGET_CS, 0x1234, 0x806)
    assert made.get("flags") & (IF | VIF | IOPL3 | VM | 1) == IF | VIF | VM | 1


@pytest.mark.parametrize("image, flags, code", ((TF, 0, "cf"), (IF, VIP, "cf"), (0, 0, "66cf")))
def test_what_iret_refuses(image, flags, code):
    made = rig(flags)
    made.write(STACK + 0x804, image, 2)
    made.run(code)
    assert made.vector() == GP


