"""INVLPG, INVPCID, CR4.PCIDE, CR4.LA57 and what is canonical (SDM Vol. 2 INVPCID; Vol. 3A 2.5, 4.5.1, 4.10)."""
import pytest

from jit import layout
from tests.jit.rig import CODE, TABLES, Rig

CR4_LA57, CR4_PCIDE = 1 << 12, 1 << 17
DATA, OTHER, DESCRIPTOR = 0x90000, 0x91000, 0x92000
LOAD, INVLPG, INVPCID, MOV_CR3, MOV_CR4 = "8a03", "0f013b", "660f38820e", "0f22d8", "0f22e0"
LOW57, BEYOND = 0x00FF_0000_0000_0000, 0x0100_0000_0000_0000


def remap(rig, linear, gpa):
    """Change a page-table entry behind the TLB's back."""
    rig.write(TABLES + 0x3000 + 8 * (linear >> 12), gpa | 7)


def rig(cr4=0, **registers):
    made = Rig()
    made.set("cr4", made.get("cr4") | cr4)
    made.memory.write(DATA, b"\x11")
    made.memory.write(OTHER, b"\x22")
    made.set("rbx", DATA)
    for name, value in registers.items():
        made.set(name, value)
    made.plane.update_mode()
    return made


def loads_after(made, code, count):
    """AL before and after instructions that may drop the translation of DATA."""
    made.step(LOAD + code + LOAD, 1)
    before = made.get("rax") & 0xFF
    remap(made, DATA, OTHER)
    made.step(None, count + 1)
    assert made.vector() is None
    return before, made.get("rax") & 0xFF


def test_invlpg_drops_a_translation():
    assert loads_after(rig(), INVLPG, 1) == (0x11, 0x22)


@pytest.mark.parametrize("kind", range(4))
def test_invpcid_drops_a_translation(kind):
    made = rig(CR4_PCIDE, rcx=kind, rsi=DESCRIPTOR)
    made.write(DESCRIPTOR + 8, DATA)
    assert loads_after(made, INVPCID, 1) == (0x11, 0x22)


@pytest.mark.parametrize("kind, low, high, cr4, faults", (
    (4, 0, 0, CR4_PCIDE, True), (1 << 32, 0, 0, CR4_PCIDE, True), (0, 0x1000, 0, CR4_PCIDE, True),
    (2, 0x1000, 0, CR4_PCIDE, True), (0, 5, 0, 0, True), (1, 5, 0, 0, True), (2, 5, 0, 0, False), (3, 5, 0, 0, False),
    (0, 5, 0, CR4_PCIDE, False), (0, 0, LOW57, CR4_PCIDE, False), (0, 0, BEYOND, CR4_PCIDE, True),
    (1, 0, BEYOND, CR4_PCIDE, False)))
def test_invpcid_checks(kind, low, high, cr4, faults):
    """An address is canonical by the processor's width, 57 here, whatever CR4.LA57."""
    made = rig(cr4, rcx=kind, rsi=DESCRIPTOR)
    made.write(DESCRIPTOR, low)
    made.write(DESCRIPTOR + 8, high)
    made.step(INVPCID, 1)
    if faults:
        made.run()
    assert made.vector() == (13 if faults else None)


def test_invpcid_is_for_cpl_0():
    made = Rig(cpl=3)
    made.set("rsi", 0xDEAD0000)                     # checked before the descriptor is read
    made.run(INVPCID)
    assert made.vector() == 13


def test_pcide_needs_a_cr3_without_pcid():
    for low, faults in ((0, False), (1, True)):
        made = rig(rax=rig().get("cr4") | CR4_PCIDE)
        made.set("cr3", made.get("cr3") | low)
        made.step(MOV_CR4, 1)
        if faults:
            made.run()
        assert made.vector() == (13 if faults else None)


def test_cr3_takes_a_pcid_and_bit_63_is_not_kept():
    made = rig(CR4_PCIDE, rax=TABLES | 0xABC | 1 << 63)
    made.step(MOV_CR3, 1)
    assert made.get("cr3") == TABLES | 0xABC


def test_invlpg_of_data_leaves_the_jump_cache_alone():
    """Code pages alone are looked for in it: the filter of pages that code was fetched from."""
    made = rig()
    made.code("ebfe")
    made.step(None, 1)
    cache = memoryview(made.plane.sets.view).cast("Q")
    start = (made.get("jumps") - made.plane.sets.address) // 8

    def filled():
        return sum(1 for n in range(layout.JUMP_ENTRIES) if cache[start + 2 * n + 1])
    assert filled()
    for linear, kept in ((DATA, True), (CODE, False)):
        made.memory.write(CODE + 0x800, bytes.fromhex(INVLPG))
        made.set("rbx", linear)
        made.set("rip", CODE + 0x800)
        made.step(None, 1)
        assert bool(filled()) == kept


# --- five levels ---------------------------------------------

def five_levels(**registers):
    """The same address space under one more table; DATA is also at LOW57 | DATA."""
    made = rig(CR4_LA57, **registers)
    root = 0x1F0000
    made.write(root, TABLES | 7)
    made.write(root + 8 * (LOW57 >> 48 & 0x1FF), TABLES | 7)
    made.set("cr3", root)
    made.plane.flush()
    return made


def test_canonical_addresses_have_57_bits():
    made = five_levels(rbx=LOW57 | DATA)
    made.step(LOAD, 1)
    assert made.get("rax") & 0xFF == 0x11
    made.set("rbx", BEYOND | DATA)
    made.run(LOAD)
    assert made.vector() == 13

    made = rig(rbx=LOW57 | DATA)
    made.run(LOAD)
    assert made.vector() == 13


def test_jumps_reach_57_bits():
    made = five_levels(rax=LOW57 | CODE)
    made.memory.write(DATA + 0x100, bytes.fromhex("ffe0"))
    made.set("rip", DATA + 0x100)
    made.step(None, 1)
    assert made.get("rip") == LOW57 | CODE
    made = rig(rax=LOW57 | CODE)
    made.run("ffe0")
    assert made.vector() == 13


def test_la57_is_fixed_in_long_mode():
    made = rig()
    made.set("rax", made.get("cr4") | CR4_LA57)
    made.run(MOV_CR4)
    assert made.vector() == 13


@pytest.mark.parametrize("la57, value, faults", ((True, LOW57, False), (False, LOW57, True), (True, BEYOND, True)))
def test_msrs_take_what_the_processor_can_use(la57, value, faults):
    """LSTAR is checked for the width of the processor, not the one in force."""
    made = rig(rcx=0xC0000082, rax=value & 0xFFFFFFFF, rdx=value >> 32)
    if not la57:
        made.set("cr4_valid", made.get("cr4_valid") & ~CR4_LA57)
    made.step("0f30", 1)
    if faults:
        made.run()
    assert made.vector() == (13 if faults else None)


@pytest.mark.parametrize("pages", (3, 200, 400))
def test_mov_cr3_drops_few_and_many_translations(pages):
    made, first = Rig(), 0x60
    made.memory.write(0x200000, b"\x11" + bytes(0xFFF) + b"\x22")
    made.set("rax", made.get("cr3"))
    for frame, each in ((0x200000, 0x11), (0x201000, 0x22)):
        for n in range(pages):
            remap(made, first + n << 12, frame)
        for name, value in (("rbx", 0), ("rcx", pages), ("rsi", first << 12)):
            made.set(name, value)
        # 1: movzx edx, byte [rsi]; add ebx, edx; add rsi, 0x1000; loop 1b
        made.step(MOV_CR3 + "0fb616 01d3 4881c600100000 e2f2".replace(" ", ""), 1 + 4 * pages)
        assert (made.vector(), made.get("rbx")) == (None, each * pages)
