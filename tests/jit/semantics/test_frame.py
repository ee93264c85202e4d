"""PUSHA, POPA, ENTER, LEAVE and BOUND outside 64-bit mode (SDM Vol. 2)."""
import pytest

from tests.jit.rig import STACK, Rig

BR, SS = 5, 12
NAMES = "rax rcx rdx rbx rsp rbp rsi rdi".split()


def numbered(rig: Rig) -> None:
    for i, name in enumerate(NAMES):
        if name != "rsp":
            rig.set(name, 0x1000_1000 * (i + 1))


@pytest.mark.parametrize("mode, code, size", [("pm32", "60", 4), ("pm32", "6660", 2), ("real", "60", 2),
                                              ("real", "6660", 4)])
def test_pusha_stores_the_registers_in_order_and_popa_skips_the_stack_pointer(mode, code, size):
    rig = Rig(mode)
    numbered(rig)
    old = rig.get("rsp")
    base = rig.get("ss.base")
    mask = (1 << 8 * size) - 1
    before = [rig.get(n) for n in NAMES]
    rig.step(code)
    assert rig.get("rsp") == old - 8 * size
    assert rig.words(base + rig.get("rsp"), 8, size) == [v & mask for v in reversed(before)]
    for name in NAMES:
        if name != "rsp":
            rig.set(name, 0)
    rig.step(code[:-2] + "61")
    assert [rig.get(n) for n in NAMES] == [v if n == "rsp" else v & mask for n, v in zip(NAMES, before, strict=True)]


def test_pusha_that_would_leave_the_segment_changes_no_register():
    rig = Rig("pm32", cpl=3)
    rig.set("ss.limit", 0x207FF)
    rig.set("rsp", 0x1C)                                # the last of eight pushes would wrap around
    rig.set("rax", 0x1234)
    rig.run("60")
    assert rig.vector() == SS
    error, _, _, _, pointer, _ = rig.words(rig.get("rsp"), 6, 4)
    assert (error, pointer, rig.get("rax")) == (0, 0x1C, 0x1234)


def test_16_bit_stack_wraps_within_the_segment():
    rig = Rig("real")
    rig.set("rsp", 0xABCD_0000)
    rig.set("rax", 0x1234)
    rig.step("50")
    assert rig.get("rsp") == 0xABCD_FFFE
    assert rig.read(STACK + 0xFFFE, 2) == 0x1234


@pytest.mark.parametrize("level", [0, 1, 2, 3, 31, 32 + 2])
@pytest.mark.parametrize("mode, prefix, size", [("pm32", "", 4), ("pm32", "66", 2), ("real", "", 2), ("long", "", 8)])
def test_enter_copies_the_display_and_leave_undoes_it(mode, prefix, size, level):
    rig = Rig(mode)
    base = rig.get("ss.base") if mode != "long" else 0
    mask = (1 << 8 * size) - 1
    top = rig.get("rsp")
    old_frame = top + 0x200 if mode != "real" else 0xA00
    rig.set("rbp", old_frame)
    display = [0x1111_1111_1111_1111 * (i % 14 + 1) & mask for i in range(31)]
    for i, value in enumerate(display):
        rig.write(base + old_frame - (i + 1) * size, value, size)
    rig.step(f"{prefix}c82000{level:02x}")
    level %= 32
    frame = top - size
    stored = [old_frame & mask, *(display[:level - 1] if level else []), *([frame & mask] if level else [])]
    assert [rig.read(base + frame - i * size, size) for i in range(len(stored))] == stored
    assert rig.get("rsp") == frame - level * size - 0x20
    assert rig.get("rbp") & mask == frame & mask
    rig.step(prefix + "c9")
    assert rig.get("rsp") == top
    assert rig.get("rbp") & mask == old_frame & mask


@pytest.mark.parametrize("index, inside", [(-5, True), (7, True), (-6, False), (8, False), (0, True)])
@pytest.mark.parametrize("mode, code, size", [("pm32", "620500800000", 4), ("pm32", "66620500800000", 2),
                                              ("real", "6662060080", 4)])
def test_bound(mode, code, size, index, inside):
    rig = Rig(mode)
    rig.write(0x8000, -5, size)
    rig.write(0x8000 + size, 7, size)
    rig.set("rax", index & (1 << 8 * size) - 1)
    rig.run(code + "f4")
    assert rig.vector() == (None if inside else BR)


def test_a_32_bit_enter_on_a_16_bit_stack_stores_all_of_esp() -> None:
    """SDM Vol. 2A ENTER: FrameTemp is ESP, whose upper half a 16-bit stack leaves alone."""
    rig = Rig("pm32")
    rig.set("ss.attr", 0x0093)
    rig.plane.update_mode()
    rig.set("rsp", 0x12340800)
    rig.set("rbp", 0x1234_0A00)
    rig.step("c8000001")
    assert (rig.get("rsp"), rig.get("rbp")) == (0x123407F8, 0x123407FC)
    assert (rig.read(0x7FC, 4), rig.read(0x7F8, 4)) == (0x12340A00, 0x123407FC)
