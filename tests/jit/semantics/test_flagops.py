"""PUSHF and POPF by privilege and in virtual-8086 mode (SDM Vol. 2B POPF, table 4-16; PUSHF)."""
import pytest

from tests.jit.rig import Rig

CF, TF, IF, DF, OF, IOPL, NT, RF, VM, AC, VIF, VIP, ID = (
    0x1, 0x100, 0x200, 0x400, 0x800, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000)
ALL = CF | IF | DF | OF | IOPL | NT | AC | ID
GP = 13
CR4_VME = 1


def popped(mode: str, code: str, value: int, flags: int, cpl: int = 0) -> Rig:
    rig = Rig(mode, cpl=cpl)
    rig.set("flags", flags)
    rig.plane.update_mode()
    rig.write(rig.get("ss.base") + rig.get("rsp") if mode != "long" else rig.get("rsp"), value)
    rig.step(code)
    return rig


@pytest.mark.parametrize("mode, cpl, flags, expected", [
    ("long", 0, 2, ALL | 2), ("pm32", 0, 2, ALL | 2),
    ("long", 3, 2, ALL & ~(IOPL | IF) | 2), ("pm32", 3, 2, ALL & ~(IOPL | IF) | 2),
    ("pm32", 3, 0x3002, ALL | 2),                           # IOPL 3 lets user mode change IF, but not IOPL
])
def test_popf_loads_what_the_privilege_allows(mode, cpl, flags, expected):
    rig = popped(mode, "9d", ALL | RF | VIF | VIP, flags, cpl)
    assert rig.get("flags") == expected


def test_user_mode_cannot_clear_the_interrupt_flag():
    assert popped("long", "9d", 0, 2 | IF, cpl=3).get("flags") == 2 | IF


def test_16_bit_popf_keeps_the_upper_half():
    rig = popped("pm32", "669d", 0xFFFF & ~TF, 2 | AC | ID)
    assert rig.get("flags") == 0x7ED7 | AC | ID


def test_pushf_hides_rf_and_vm():
    rig = Rig("pm32")
    rig.set("flags", 0x2 | CF | AC | VIF)
    rig.step("9c")
    assert rig.read(rig.get("rsp"), 4) == 0x2 | CF | AC | VIF


@pytest.mark.parametrize("code", ["9c", "9d"])
def test_virtual_8086_mode_needs_iopl_3(code):
    rig = popped("vm86", code, 0, VM | 2)
    rig.run()
    assert rig.vector() == GP
    rig = popped("vm86", code, 2, VM | IOPL | 2)
    assert rig.get("flags") & VM and rig.vector() is None


def test_with_vme_16_bit_forms_use_vif():
    rig = Rig("vm86")
    rig.set("cr4", CR4_VME)
    rig.set("flags", VM | VIF | 2)
    rig.step("9c")
    assert rig.read(0x20000 + rig.get("rsp"), 2) & (IF | IOPL) == IF | IOPL
    rig.write(0x20000 + rig.get("rsp"), 2, 2)
    rig.step("9d")
    assert rig.get("flags") & (VIF | IF | VM) == VM
