"""Delivery of exceptions and interrupts: frames, flags, error codes, double and triple faults (SDM 3A chapter 6)."""

import pytest

from jit import exits, layout
from tests.jit.rig import (
    CODE,
    GDT,
    HANDLERS,
    IDT,
    INT16,
    INT32,
    KCODE,
    KDATA,
    STACK,
    STACK_TOP,
    TASK,
    TRAP32,
    TSS,
    UCODE,
    UDATA,
    Rig,
    descriptor,
    gate,
)

RF, IF, TF, NT = 1 << 16, 1 << 9, 1 << 8, 1 << 14
DE, DB, BP, UD, DF, TS, NP, SS, GP, PF = 0, 1, 3, 6, 8, 10, 11, 12, 13, 14
IDT_BIT, EXT = 2, 1


def test_real_mode_pushes_flags_cs_ip_and_clears_if_and_tf() -> None:
    rig = Rig("real")
    rig.set("flags", IF | 2)
    assert rig.run("cd21") == exits.HALT
    assert rig.vector() == 0x21
    assert rig.words(STACK + rig.get("rsp"), 3, 2) == [2, CODE >> 4, IF | 2]
    assert rig.get("rsp") == 0x800 - 6
    assert not rig.get("flags") & (IF | TF)


def test_real_mode_fault_returns_to_the_instruction_without_error_code() -> None:
    rig = Rig("real")
    rig.run("90 0f0b")
    assert rig.vector() == UD
    assert rig.words(STACK + rig.get("rsp"), 3, 2) == [1, CODE >> 4, 2]


def test_real_mode_vector_beyond_idt_limit_is_gp() -> None:
    rig = Rig("real")
    rig.set("idtr_limit", 0x7F)             # vectors 0 to 31
    rig.run("cd20")
    assert rig.vector() == GP
    assert rig.words(STACK + rig.get("rsp"), 1, 2) == [0]


def test_real_mode_without_vectors_shuts_down() -> None:
    rig = Rig("real")
    rig.set("idtr_limit", 0)
    assert rig.run("0f0b") == exits.SHUTDOWN


def test_32_bit_gate_same_level() -> None:
    rig = Rig("pm32")
    rig.set("flags", IF | 2)
    rig.run("90 0f0b")
    assert rig.vector() == UD
    assert rig.get("rsp") == STACK_TOP - 12
    assert rig.words(STACK_TOP - 12, 3, 4) == [CODE + 1, KCODE, RF | IF | 2]
    assert not rig.get("flags") & (IF | RF)


def test_16_bit_gate_pushes_words() -> None:
    rig = Rig("pm32")
    rig.write(IDT + 8 * UD, gate(KCODE, 0x4000, INT16))
    rig.code("f4", 0x4000)
    rig.run("0f0b")
    assert rig.get("rip") == 0x4000
    assert rig.words(STACK_TOP - 6, 3, 2) == [CODE & 0xFFFF, KCODE, 2]


def test_trap_gate_leaves_if() -> None:
    rig = Rig("pm32")
    rig.write(IDT + 8 * 0x40, gate(KCODE, HANDLERS, TRAP32))
    rig.set("flags", IF | NT | 2)
    rig.run("cd40")
    assert rig.get("flags") & (IF | NT) == IF


def test_inner_level_switches_stacks_by_the_tss() -> None:
    rig = Rig("pm32", cpl=3, paging=True)
    rig.run("0f0b")
    top = STACK_TOP + 0x800
    assert rig.vector() == UD
    assert rig.words(top - 20, 5, 4) == [CODE, UCODE | 3, RF | 2, STACK_TOP, UDATA | 3]
    assert (rig.get("ss"), rig.get("cs"), rig.get("cpl"), rig.get("rsp")) == (KDATA, KCODE, 0, top - 20)
    assert rig.get("tlb_set") == layout.SET_SUPERVISOR


def test_error_code_names_the_idt_entry_and_the_dpl_of_a_gate_counts_for_int_n() -> None:
    rig = Rig("pm32", cpl=3)
    rig.run("cd40")                         # its gate has DPL 0
    assert rig.vector() == GP
    assert rig.words(rig.get("rsp"), 2, 4) == [0x40 << 3 | IDT_BIT, CODE]


def test_absent_gate_is_np_without_ext_for_int_n_and_with_ext_for_exceptions() -> None:
    rig = Rig("pm32")
    rig.write(IDT + 8 * 0x40, gate(KCODE, HANDLERS, INT32 & 0x7F))
    rig.run("cd40")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (NP, 0x40 << 3 | IDT_BIT)
    rig = Rig("pm32")
    rig.write(IDT + 8 * UD, gate(KCODE, HANDLERS, INT32 & 0x7F))
    rig.run("0f0b")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (NP, UD << 3 | IDT_BIT | EXT)


def test_int1_ignores_dpl_and_sets_ext() -> None:
    rig = Rig("pm32", cpl=3)
    rig.run("f1")
    assert rig.vector() == DB
    rig = Rig("pm32")
    rig.write(IDT + 8 * DB, 0)
    rig.run("f1")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, DB << 3 | IDT_BIT | EXT)


@pytest.mark.parametrize("mode", ["pm32", "long"])
def test_bad_handler_segment_is_gp_with_its_selector(mode: str) -> None:
    rig = Rig(mode)
    size = 16 if mode == "long" else 8
    rig.write(IDT + size * 0x40, gate(KDATA, HANDLERS, INT32))
    rig.run("cd40")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, KDATA)


@pytest.mark.parametrize("mode", ["pm32", "long"])
def test_null_handler_segment_is_gp_0(mode: str) -> None:
    rig = Rig(mode)
    size = 16 if mode == "long" else 8
    rig.write(IDT + size * 0x40, gate(0, HANDLERS, INT32))
    rig.run("cd40")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, 0)


def test_tss_faults_name_the_stack_selector() -> None:
    for selector, attributes, vector, code in ((KDATA, 0xC092 & ~0x80, SS, KDATA | EXT), (UDATA, None, TS, UDATA | EXT),
                                               (0, None, TS, EXT)):
        rig = Rig("pm32", cpl=3)
        rig.write(TSS + 8, selector, 2)
        if attributes is not None:
            rig.entry(selector, descriptor(attributes=attributes))
        # The fault itself must not need the broken stack: a conforming handler stays on the user's.
        rig.entry(0x40, descriptor(attributes=0xC09E))
        rig.write(IDT + 8 * vector, gate(0x40, HANDLERS + 16 * vector, INT32))
        rig.run("0f0b")
        assert rig.vector() == vector
        assert rig.words(rig.get("rsp"), 2, 4) == [code, CODE]


def test_short_tss_is_ts_with_tr() -> None:
    rig = Rig("pm32", cpl=3)
    rig.set("tr.limit", 8)
    rig.entry(0x40, descriptor(attributes=0xC09E))
    rig.write(IDT + 8 * TS, gate(0x40, HANDLERS + 16 * TS, INT32))
    rig.run("0f0b")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (TS, TASK | EXT)


def test_page_fault_sets_cr2_and_pushes_its_code() -> None:
    rig = Rig("pm32", cpl=3, paging=True)
    rig.protect(0x80000, 1)
    rig.run("c70500000800 01000000")       # mov dword [0x80000], 1
    assert rig.vector() == PF
    assert rig.get("cr2") == 0x80000
    assert rig.words(rig.get("rsp"), 2, 4) == [0b111, CODE]


def test_fault_in_delivery_leaves_the_state_and_is_delivered_instead() -> None:
    """UD is benign, so the page fault on the handler's stack push is delivered by itself, with the first state."""
    rig = Rig("pm32", cpl=3, paging=True)
    rig.write(TSS + 4, 0x90000 + 8, 4)      # the frame would cross into 0x8f000
    rig.protect(0x8F000, 0)
    rig.entry(0x40, descriptor(attributes=0xC09E))
    rig.write(IDT + 8 * PF, gate(0x40, 0x31000, INT32))
    rig.code("90", 0x31000)
    before = rig.snapshot()
    rig.step("0f0b", 0)
    rig.plane.set(layout.BUDGET, 1)
    rig.step(count=1)
    assert rig.get("cr2") == 0x8FFFC
    assert rig.words(rig.get("rsp"), 4, 4) == [0b010, CODE, UCODE | 3, RF | 2]
    after = rig.snapshot()
    changed = {n for n in before if before[n] != after[n]}
    assert changed <= {"rip", "rsp", "cs", "cs.attr", "flags"}


@pytest.mark.parametrize(("vector", "code", "delivered"), [
    (GP, "ea 00000000 0000", DF), (PF, "a100000800", DF), (UD, "0f0b", GP)])
def test_contributory_second_fault(vector: int, code: str, delivered: int) -> None:
    """SDM Vol. 3A table 6-5: the second fault is #GP for a gate of no known type."""
    rig = Rig("pm32", paging=True)
    rig.protect(0x80000, 0)
    rig.write(IDT + 8 * vector, gate(KCODE, HANDLERS, 0x8A))
    rig.run(code)
    assert rig.vector() == delivered
    assert rig.words(rig.get("rsp"), 2, 4) == [0 if delivered == DF else vector << 3 | IDT_BIT | EXT, CODE]


def test_page_fault_after_contributory_fault_is_delivered_by_itself() -> None:
    rig = Rig("pm32", cpl=3, paging=True)
    rig.write(TSS + 4, 0x90000, 4)
    rig.protect(0x8F000, 0)
    rig.entry(0x40, descriptor(attributes=0xC09E))
    rig.write(IDT + 8 * PF, gate(0x40, HANDLERS + 16 * PF, INT32))
    rig.run("ea 00000000 0000")
    assert rig.vector() == PF


def test_page_fault_while_delivering_page_fault_is_double_fault() -> None:
    rig = Rig("pm32", cpl=3, paging=True)
    rig.protect(0x80000, 0)
    rig.write(TSS + 4, 0x90000, 4)          # #PF's frame would go to an absent page
    rig.protect(0x8F000, 0)
    rig.entry(0x40, descriptor(attributes=0xC09E))
    rig.write(IDT + 8 * DF, gate(0x40, HANDLERS + 16 * DF, INT32))
    rig.run("a100000800")
    assert rig.vector() == DF
    assert rig.words(STACK_TOP - 16, 2, 4) == [0, CODE]      # the handler stays on the user's stack
    assert rig.get("cr2") == 0x8FFFC


def test_triple_fault_shuts_down() -> None:
    rig = Rig("pm32")
    rig.write(IDT + 8 * GP, 0)
    rig.write(IDT + 8 * DF, 0)
    assert rig.run("ea 00000000 0000") == exits.SHUTDOWN


def test_long_mode_aligns_the_stack_and_pushes_ss_rsp_always() -> None:
    rig = Rig("long")
    rig.set("rsp", STACK_TOP + 5)
    rig.run("0f0b")
    assert rig.vector() == UD
    assert rig.get("rsp") == STACK_TOP - 40
    assert rig.words(STACK_TOP - 40, 5, 8) == [CODE, KCODE, RF | 2, STACK_TOP + 5, KDATA]
    assert rig.get("ss") == KDATA


def test_long_mode_from_user_has_null_ss() -> None:
    rig = Rig("long", cpl=3)
    rig.run("0f0b")
    top = STACK_TOP + 0x800
    assert rig.words(top - 40, 5, 8) == [CODE, UCODE | 3, RF | 2, STACK_TOP, UDATA | 3]
    assert (rig.get("ss"), rig.get("cpl")) == (0, 0)


def test_ist() -> None:
    rig = Rig("long")
    rig.write(TSS + 0x24 + 8 * 6, 0x60000)  # IST7
    rig.write(IDT + 16 * UD, gate(KCODE, HANDLERS + 16 * UD, INT32, 7))
    rig.run("0f0b")
    assert rig.get("rsp") == 0x60000 - 40
    assert rig.read(0x60000 - 8) == KDATA


def test_long_mode_wants_64_bit_handlers() -> None:
    rig = Rig("long")
    rig.entry(0x40, descriptor(attributes=0xC09A))
    rig.write(IDT + 16 * 0x40, gate(0x40, HANDLERS, INT32))
    rig.run("cd40")
    assert (rig.vector(), rig.read(rig.get("rsp"))) == (GP, 0x40)


def test_compatibility_mode_delivers_to_64_bit_code() -> None:
    rig = Rig("long", cpl=3)
    rig.segment("cs", 0x43, 0, 0xFFFFFFFF, 0xC0FB)
    rig.plane.update_mode()
    rig.run("0f0b")
    assert rig.vector() == UD
    assert rig.get("mode") & 3 == layout.MODE_64
    assert rig.words(rig.get("rsp"), 2, 8) == [CODE, 0x43]


def test_virtual_8086_pushes_data_segments_and_nulls_them() -> None:
    rig = Rig("vm86")
    rig.run("0f0b")
    top = STACK_TOP + 0x800
    assert rig.words(top - 36, 9, 4) == [0, CODE >> 4, RF | 0x20002, 0x800, STACK >> 4, 0x100, 0x100, 0x100, 0x100]
    assert [rig.get(s) for s in ("ds", "es", "fs", "gs")] == [0] * 4
    assert not rig.get("flags") & 1 << 17


def test_virtual_8086_int_n_needs_iopl_3_but_int3_does_not() -> None:
    rig = Rig("vm86")
    rig.run("cd20")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4)) == (GP, 0)
    rig = Rig("vm86")
    rig.write(IDT + 8 * BP, gate(KCODE, HANDLERS + 16 * BP, INT32 | 0x60))
    rig.run("cc")
    assert rig.vector() == BP
    assert rig.read(rig.get("rsp"), 4) == 1


def test_external_interrupt_pushes_the_next_instruction_without_rf() -> None:
    rig = Rig("long")
    rig.set("flags", IF | 2)
    rig.set("interrupt", 1)
    assert rig.run("90") == exits.INTERRUPT
    rig.set("interrupt", 0)
    rig.plane.inject_interrupt(0x55)
    rig.run()
    assert rig.vector() == 0x55
    assert rig.words(rig.get("rsp"), 3, 8) == [CODE, KCODE, IF | 2]


def test_sti_and_mov_ss_block_interrupts_for_one_instruction() -> None:
    for code, flags in (("fb 90 90 90", 2), ("8ed0 90 90 90", IF | 2)):
        rig = Rig("pm32")
        rig.set("rax", KDATA)
        rig.set("flags", flags)
        length = len(bytes.fromhex(code)) - 3
        rig.set("interrupt", int(flags == 2))
        if flags != 2:
            rig.step(code)
            rig.set("interrupt", 1)
            assert rig.run(None) == exits.INTERRUPT
        else:
            assert rig.run(code) == exits.INTERRUPT
        assert rig.get("rip") == CODE + length + 1


def test_nmi_blocks_until_iret() -> None:
    rig = Rig("long")
    rig.set("nmi", 1)
    rig.run("90")
    assert rig.vector() == 2
    assert rig.get("nmi_blocked") == 1
    rig.set("nmi", 1)
    rig.code("48cf", HANDLERS + 0x20)
    rig.step(count=1)                       # back, and the second one is taken at once
    assert rig.get("nmi") == 0
    assert rig.vector() == 2
    assert rig.read(rig.get("rsp")) == CODE


def test_single_step_traps_after_each_instruction() -> None:
    rig = Rig("long")
    rig.set("flags", TF | 2)
    rig.run("90 90")
    assert rig.vector() == DB
    assert rig.words(rig.get("rsp"), 3, 8) == [CODE + 1, KCODE, TF | 2]
    assert rig.get("dr6") & 1 << 14
    assert not rig.get("flags") & TF


def test_int_n_is_not_followed_by_a_single_step_trap() -> None:
    rig = Rig("long")
    rig.set("flags", TF | 2)
    rig.run("cd40")
    assert rig.vector() == 0x40


def test_resume_flag_of_an_iret_lasts_one_instruction() -> None:
    rig = Rig("pm32")
    for word in (RF | 2, KCODE, CODE + 1):
        rig.set("rsp", rig.get("rsp") - 4)
        rig.write(rig.get("rsp"), word, 4)
    rig.step("cf 90")
    assert rig.get("flags") & RF
    rig.step()
    assert not rig.get("flags") & RF


def test_handlers_code_segment_is_marked_accessed() -> None:
    rig = Rig("pm32")
    rig.run("0f0b")
    assert rig.read(GDT + KCODE + 5, 1) & 1
