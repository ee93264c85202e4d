"""Task switches with shadow stacks and branch tracking (SDM Vol. 3A 7.3, table 6-6)."""

import pytest

from tests.jit.rig import CODE, GDT, HANDLERS, IDT, KCODE, TABLES, TASK, TSS, UCODE, Rig, descriptor, gate
from tests.jit.test_task import ENTRY, GP, NEW, NEW_STACK, NEW_TSS, TASK_GATE, TS, far, task_rig
from tools.lockstep.tables import US, A, D, P

CR4_CET, CR0_WP = 1 << 23, 1 << 16
SHADOW, TRACKING, WAITS = 1, 4, 1 << 11
CP, FAR_RET, ENDBRANCH = 21, 2, 3
OLD_PAGE, NEW_PAGE = 0x60000, 0x64000
OLD, TOP = OLD_PAGE + 0xFF8, NEW_PAGE + 0xFF8           # where the tokens are; stacks grow down from there
SSP_AT, VM = 0x68, 1 << 17
THIRD, THIRD_TSS = 0x58, 0x7000


def rig(cpl: int = 0, old: int = 0, control: int = SHADOW, ssp: int = TOP, token: int = TOP, **words: int) -> Rig:
    """Both tasks have a shadow stack, the first one is at its beginning and busy."""
    made = task_rig(cpl, old, True, **words)
    for selector, base, kind in ((TASK, TSS, 0x8B), (NEW, NEW_TSS, 0x89)):
        made.entry(selector, descriptor(base, 0x6B, kind))
    made.set("cr0", made.get("cr0") | CR0_WP)
    made.set("cr4", made.get("cr4") | CR4_CET)
    made.set("s_cet", control)
    made.set("u_cet", control)
    made.protect(OLD_PAGE, P | D | A | (US if old else 0))
    made.protect(NEW_PAGE, P | D | A | (US if cpl else 0))
    made.set("ssp", OLD)
    made.write(OLD, OLD | 1)
    made.write(TOP, token)
    made.write(NEW_TSS + SSP_AT, ssp, 4)
    made.write(TSS + 0x1C, TABLES, 4)
    made.plane.update_mode()
    return made


def task_for(made: Rig, vector: int) -> None:
    """A third task, with a stack and a shadow stack of its own, handles an exception."""
    made.entry(THIRD, descriptor(THIRD_TSS, 0x6B, 0x89))
    made.memory.write(THIRD_TSS, made.memory.read(NEW_TSS, 0x6C))
    made.write(THIRD_TSS + 0x20, HANDLERS + 16 * vector, 4)
    made.write(THIRD_TSS + SSP_AT, OLD_PAGE + 0x800, 4)
    made.write(OLD_PAGE + 0x800, OLD_PAGE + 0x800)
    made.write(IDT + 8 * vector, gate(THIRD, 0, TASK_GATE))


def fault(made: Rig) -> tuple[int | None, int]:
    return made.vector(), made.read(made.get("rsp"), 4)


@pytest.mark.parametrize("cpl", (0, 3))
def test_call_records_the_caller_and_iret_verifies_it(cpl: int) -> None:
    made = rig(cpl)
    made.code("cf", ENTRY)
    made.step(far(0x9A, NEW))
    assert (made.get("rip"), made.get("ssp")) == (ENTRY, TOP - 24)
    assert made.words(TOP - 24, 4, 8) == [OLD, CODE + 7, KCODE, TOP | 1]
    made.step()
    assert (made.get("rip"), made.get("tr"), made.get("ssp")) == (CODE + 7, TASK, OLD)
    assert made.read(TOP) == TOP and made.read(OLD) == OLD | 1


def test_jump_takes_the_stack_without_a_record() -> None:
    made = rig()
    made.step(far(0xEA, NEW))
    assert (made.get("rip"), made.get("ssp"), made.read(TOP), made.read(TOP - 8)) == (ENTRY, TOP, TOP | 1, 0)


def test_an_exception_through_a_task_gate_records_too() -> None:
    made = rig()
    made.write(IDT + 8 * GP, gate(NEW, 0, TASK_GATE))
    made.step(far(0xEA, 0) + b"\xf4")
    assert made.words(TOP - 24, 3, 8) == [OLD, CODE, KCODE]
    assert (made.get("rsp"), made.read(NEW_STACK - 4, 4)) == (NEW_STACK - 4, 0)


def test_a_user_task_that_is_interrupted_keeps_its_ssp_in_the_msr() -> None:
    made = rig(old=3)
    made.write(IDT + 8 * GP, gate(NEW, 0, TASK_GATE))
    made.step("f4")
    assert (made.get("ssp"), made.get("pl3_ssp"), made.read(TOP - 8)) == (TOP, OLD, 0)


def test_iret_to_a_user_task_takes_its_ssp_from_the_msr() -> None:
    made = rig(old=3)
    made.write(IDT + 8 * GP, gate(NEW, 0, TASK_GATE))
    made.code("83c404cf", ENTRY)                        # add esp, 4; iret
    made.step("f4")                                     # its #GP, and the first instruction of the handler
    made.set("pl3_ssp", OLD - 0x100)
    made.step()
    assert (made.get("cs"), made.get("ssp"), made.read(TOP)) == (UCODE | 3, OLD - 0x100, TOP)


@pytest.mark.parametrize(("limit", "kind"), ((0x6A, 0x89), (0x6B, 0x81)))
def test_the_new_tss_must_have_an_ssp(limit: int, kind: int) -> None:
    made = rig()
    made.entry(NEW, descriptor(NEW_TSS, limit, kind))
    made.run(far(0xEA, NEW))
    assert fault(made) == (TS, NEW) and made.get("tr") == TASK and made.read(GDT + NEW + 5, 1) == kind


@pytest.mark.parametrize(("ssp", "token"), ((TOP + 4, TOP), (TOP, TOP | 1), (TOP, TOP - 8), (TOP, TOP | 1 << 32)))
def test_a_shadow_stack_without_a_free_token_is_refused_in_the_new_task(ssp: int, token: int) -> None:
    """#TS(new TSS), at the new task's first instruction."""
    made = rig(ssp=ssp, token=token)
    task_for(made, TS)
    made.run(far(0xEA, NEW))
    assert fault(made) == (TS, NEW) and made.read(THIRD_TSS, 2) == NEW and made.read(NEW_TSS + 0x20, 4) == ENTRY
    assert made.read(TOP) == token


def test_iret_needs_an_aligned_ssp() -> None:
    made = rig()
    made.code("cf", ENTRY)
    made.step(far(0x9A, NEW))
    made.set("ssp", TOP - 20)
    made.run()
    assert fault(made) == (TS, NEW)


@pytest.mark.parametrize("word", (8, 16))
def test_iret_to_somewhere_else_is_a_control_protection_fault(word: int) -> None:
    made = rig()
    made.code("cf", ENTRY)
    task_for(made, CP)                                  # there is no shadow stack to push on
    made.step(far(0x9A, NEW))
    made.write(TOP - 24 + word, 0x1234)
    made.run()
    assert fault(made) == (CP, FAR_RET) and made.read(THIRD_TSS, 2) == TASK and made.read(TSS + 0x20, 4) == CODE + 7


def test_the_first_instruction_of_the_new_task_must_be_an_endbranch() -> None:
    made = rig(control=TRACKING)
    made.run(far(0xEA, NEW))
    assert fault(made) == (CP, ENDBRANCH)
    made = rig(control=TRACKING)
    made.code("f30f1efb 90", ENTRY)
    made.step(far(0xEA, NEW))
    assert made.get("s_cet") & WAITS
    made.step(count=2)
    assert made.get("rip") == ENTRY + 5


def test_a_virtual_8086_task_may_not_have_users_cet_enabled() -> None:
    made = rig(eflags=VM | 2, cs=0x1000, ss=0, ds=0, es=0, control=SHADOW)
    made.set("s_cet", 0)
    made.plane.update_mode()
    made.run(far(0xEA, NEW))
    assert made.vector() == TS and made.read(made.get("rsp"), 4) == NEW
