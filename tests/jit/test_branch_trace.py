"""IA32_DEBUGCTL.BTF and LBR (SDM Vol. 3B 17.4.3, 17.4.4)."""
import pytest

from tests.jit.rig import CODE, HANDLERS, Rig

TF, LBR, BTF, BS = 1 << 8, 1, 2, 1 << 14


def rig(control, flags=0):
    made = Rig()
    made.set("debugctl", control)
    made.set("flags", 2 | flags)
    return made


@pytest.mark.parametrize("code, traps_at", (
    ("90 90 eb10", 0x14), ("90 7402 eb10", 0x15), ("31c0 7402 90", 6), ("e810000000", 0x15),
    ("b810000000 ff e0", 0x10)))
def test_btf_traps_after_branches_that_are_taken(code, traps_at):
    made = rig(BTF, TF)
    made.run(code)
    where = made.read(made.get("rsp"))
    assert made.vector() == 1 and made.get("dr6") & BS
    assert where == (traps_at if code.startswith("b8") else CODE + traps_at)


def test_db_clears_btf_and_lbr():
    made = rig(BTF | LBR, TF)
    made.run("eb10")
    assert made.vector() == 1 and made.get("debugctl") == 0


def test_lbr_keeps_the_last_branch_and_exception():
    made = rig(LBR)
    made.step("90 eb02 9090 90", 3)
    assert made.plane.get(made._offset("last_branch")) == CODE + 1
    assert made.plane.get(made._offset("last_branch") + 8) == CODE + 5
    made = rig(LBR)
    made.run("90 0f0b")
    assert made.get("last_exception") == CODE + 1
    assert made.plane.get(made._offset("last_exception") + 8) == HANDLERS + 16 * 6


def test_without_lbr_nothing_is_kept():
    made = rig(0)
    made.step("eb02 9090 90", 2)
    assert made.get("last_branch") == 0
