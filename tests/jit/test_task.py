"""Hardware task switches: what is saved, loaded, linked, and where faults happen (SDM Vol. 3A chapter 7)."""

import pytest

from tests.jit.rig import (
    CODE,
    GDT,
    IDT,
    KCODE,
    KDATA,
    STACK_TOP,
    TASK,
    TSS,
    UCODE,
    UDATA,
    Rig,
    descriptor,
    gate,
)

NEW, NEW_TSS, TASK_GATE, GATE = 0x40, 0x6000, 0x85, 0x48
ENTRY, NEW_STACK = 0x12000, 0x25000
NT, RF = 1 << 14, 1 << 16
DB, TS, NP, GP = 1, 10, 11, 13
WORDS = "eip eflags eax ecx edx ebx esp ebp esi edi es cs ss ds fs gs ldt".split()


def task_rig(cpl: int = 0, old: int = 0, paging: bool = False, **words: int) -> Rig:
    """Two 32-bit tasks; the second one is at ENTRY with CPL `cpl`, the first one runs at CPL `old`."""
    rig = Rig("pm32", old, paging)
    rig.entry(TASK, descriptor(TSS, 0x67, 0x8B))
    rig.segment("tr", TASK, TSS, 0x67, 0x8B)
    rig.entry(NEW, descriptor(NEW_TSS, 0x67, 0x89))
    data = (UDATA | 3) if cpl else KDATA
    state = dict(eip=ENTRY, eflags=2, esp=NEW_STACK, eax=0x11111111, edi=0x77777777, es=data,
                 cs=(UCODE | 3) if cpl else KCODE, ss=data, ds=data, fs=0, gs=0, ldt=0) | words
    for name, value in state.items():
        rig.write(NEW_TSS + 0x20 + 4 * WORDS.index(name), value, 4)
    rig.write(NEW_TSS + 0x1C, rig.get("cr3"), 4)
    rig.write(NEW_TSS + 4, NEW_STACK - 0x800, 4)
    rig.write(NEW_TSS + 8, KDATA, 4)
    rig.code("90", ENTRY)
    return rig


def far(opcode: int, selector: int) -> bytes:
    return bytes((opcode, 0, 0, 0, 0)) + selector.to_bytes(2, "little")


def saved(rig: Rig, name: str) -> int:
    return rig.read(TSS + 0x20 + 4 * WORDS.index(name), 4)


def busy(rig: Rig, selector: int) -> bool:
    return bool(rig.read(GDT + selector + 5, 1) & 2)


def test_jump_saves_and_loads_everything() -> None:
    rig = task_rig(3)
    rig.set("rax", 0x5555AAAA)
    rig.step(far(0xEA, NEW))
    assert (saved(rig, "eip"), saved(rig, "eax"), saved(rig, "esp")) == (CODE + 7, 0x5555AAAA, STACK_TOP)
    assert (saved(rig, "cs"), saved(rig, "ss"), saved(rig, "eflags")) == (KCODE, KDATA, 2)
    assert [rig.get(n) for n in ("rip", "rax", "rdi", "rsp", "cpl")] == [ENTRY, 0x11111111, 0x77777777, NEW_STACK, 3]
    assert [rig.get(n) for n in ("cs", "ss", "ds", "fs", "tr", "tr.base")] == [0x1B, 0x23, 0x23, 0, NEW, NEW_TSS]
    assert (busy(rig, TASK), busy(rig, NEW)) == (False, True)
    assert rig.get("cr0") & 8
    assert not rig.get("flags") & NT


def test_call_nests_and_iret_returns() -> None:
    rig = task_rig()
    rig.code("cf", ENTRY)
    rig.step(far(0x9A, NEW))
    assert rig.read(NEW_TSS, 2) == TASK
    assert rig.get("flags") & NT
    assert (busy(rig, TASK), busy(rig, NEW)) == (True, True)
    rig.step()
    assert (rig.get("rip"), rig.get("tr"), rig.get("rsp")) == (CODE + 7, TASK, STACK_TOP)
    assert (busy(rig, TASK), busy(rig, NEW)) == (True, False)
    assert not rig.read(NEW_TSS + 0x24, 4) & NT
    assert rig.read(NEW_TSS + 0x20, 4) == ENTRY + 1


def test_task_gate() -> None:
    rig = task_rig()
    rig.entry(GATE, gate(NEW, 0, TASK_GATE))
    rig.step(far(0x9A, GATE))
    assert (rig.get("tr"), rig.get("rip")) == (NEW, ENTRY)


def test_exception_through_a_task_gate_pushes_its_error_code_on_the_new_stack() -> None:
    rig = task_rig()
    rig.write(IDT + 8 * GP, gate(NEW, 0, TASK_GATE))
    rig.step(far(0xEA, 0) + b"\xf4")
    assert (rig.get("tr"), rig.get("rsp"), rig.read(NEW_STACK - 4, 4)) == (NEW, NEW_STACK - 4, 0)
    assert (saved(rig, "eip"), saved(rig, "eflags")) == (CODE, RF | 2)
    assert rig.read(NEW_TSS, 2) == TASK


@pytest.mark.parametrize(("attributes", "limit", "expected"), [
    (0x8B, 0x67, (GP, NEW)), (0x09, 0x67, (NP, NEW)), (0x89, 0x66, (TS, NEW))])
def test_bad_tss_faults_in_the_old_task(attributes: int, limit: int, expected: tuple[int, int]) -> None:
    rig = task_rig()
    rig.entry(NEW, descriptor(NEW_TSS, limit, attributes))
    rig.run(far(0xEA, NEW))
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == expected
    assert rig.get("tr") == TASK
    assert rig.read(rig.get("rsp") + 4, 4) == CODE


@pytest.mark.parametrize(("words", "expected"), [
    ({"cs": KDATA}, (TS, KDATA)), ({"ss": UDATA | 3}, (TS, UDATA)), ({"ds": 0x1000}, (TS, 0x1000)),
    ({"ldt": KDATA}, (TS, KDATA)), ({"ss": 0}, (TS, 0))])
def test_bad_segments_fault_in_the_new_task(words: dict[str, int], expected: tuple[int, int]) -> None:
    rig = task_rig(**words)
    stack = NEW_STACK
    if "cs" in words or "ss" in words or "ldt" in words:    # the new stack is not there yet: use a task for #TS
        rig.entry(0x58, descriptor(0x7000, 0x67, 0x89))
        rig.memory.write(0x7000, rig.memory.read(NEW_TSS, 0x68))
        for name, value in (("cs", KCODE), ("ss", KDATA), ("ldt", 0), ("eip", 0x30000 + 16 * TS)):
            rig.write(0x7000 + 0x20 + 4 * WORDS.index(name), value, 4)
        rig.write(IDT + 8 * TS, gate(0x58, 0, TASK_GATE))
        rig.run(far(0xEA, NEW))
        assert rig.read(NEW_TSS + 0x20, 4) == ENTRY
        assert (rig.vector(), rig.read(stack - 4, 4)) == expected
        return
    rig.run(far(0xEA, NEW))
    assert rig.get("tr") == NEW
    assert (rig.vector(), rig.words(stack - 16, 2, 4)) == (expected[0], [expected[1], ENTRY])


def test_task_into_virtual_8086_mode() -> None:
    rig = task_rig(eflags=0x20002, eip=0x10, cs=0x1200, ss=0x2000, ds=0x300, es=0x300)
    rig.step(far(0xEA, NEW))
    assert (rig.get("cpl"), rig.get("cs.base"), rig.get("ds.base"), rig.get("ds.attr")) == (3, 0x12000, 0x3000, 0xF3)


def test_16_bit_tss() -> None:
    rig = task_rig()
    rig.entry(NEW, descriptor(NEW_TSS, 0x2B, 0x81))
    rig.entry(0x58, descriptor(ENTRY, 0xFFFF, 0x009A))
    for i, word in enumerate((0x20, 2, 0x1111, 2, 3, 4, 0x5000, 6, 7, 8, KDATA, 0x58, KDATA, KDATA, 0)):
        rig.write(NEW_TSS + 0xE + 2 * i, word, 2)
    rig.step(far(0xEA, NEW))
    assert [rig.get(n) for n in ("rip", "cs", "tr", "fs")] == [0x20, 0x58, NEW, 0]
    assert (rig.get("rax") & 0xFFFF, rig.get("rsp") & 0xFFFF) == (0x1111, 0x5000)


def test_trap_bit_raises_debug_exception_before_the_first_instruction() -> None:
    rig = task_rig()
    rig.write(NEW_TSS + 0x64, 1, 2)
    rig.run(far(0xEA, NEW))
    assert rig.vector() == DB
    assert rig.get("dr6") & 1 << 15
    assert rig.read(rig.get("rsp"), 4) == ENTRY


def test_task_gates_do_not_exist_in_long_mode() -> None:
    rig = Rig("long")
    rig.entry(NEW, descriptor(NEW_TSS, 0x67, 0x89))
    rig.memory.write(0x7000, b"\0\0\0\0" + NEW.to_bytes(2, "little"))
    rig.run("ff2c25 00700000")
    assert (rig.vector(), rig.read(rig.get("rsp"))) == (GP, NEW)
