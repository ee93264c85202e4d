"""Breakpoints in the debug registers (SDM Vol. 3B 17.2, 17.3)."""

import pytest

from jit import layout
from tests.jit.rig import CODE, HANDLERS, RAM, STACK_TOP, Rig

DB, BP, PF, AC = 1, 3, 14, 17
EXECUTE, WRITE, PORT, ACCESS = 0, 1, 2, 3                   # R/W fields
LENGTHS = {1: 0, 2: 1, 4: 3, 8: 2}
BS, TF, RF, GD = 1 << 14, 1 << 8, 1 << 16, 1 << 13
DATA = 0x80000


def watch(rig: Rig, address: int, kind: int, length: int = 1, number: int = 0, enable: int = 2) -> None:
    """Set up a breakpoint as software does: address, then its fields in DR7. `enable`: 1 for L, 2 for G."""
    rig.plane.set(layout.DR + 8 * number, address)
    fields = enable << 2 * number | kind << 16 + 4 * number | LENGTHS[length] << 18 + 4 * number
    rig.set("dr7", rig.get("dr7") | fields)
    rig.plane.flush()


def hits(rig: Rig) -> int:
    """What DR6 reports: B3-B0 and BS."""
    return rig.get("dr6") & (0xF | BS)


def frame(rig: Rig) -> tuple[int, int]:
    """RIP and RFLAGS on a 64-bit handler's stack."""
    at = rig.get("rsp")
    return rig.read(at), rig.read(at + 16)


def trapped(rig: Rig, rip: int, bits: int) -> bool:
    return (rig.vector(), frame(rig)[0], hits(rig)) == (DB, rip, bits)


# --- data breakpoints ---------------------------------------------


@pytest.mark.parametrize("kind, code, trap", [
    (WRITE, "8903", True), (WRITE, "8b03", False), (ACCESS, "8903", True), (ACCESS, "8b03", True),
    (WRITE, "ff03", True), (WRITE, "3903", False), (ACCESS, "3903", True),
])
def test_kinds_of_access(kind: int, code: str, trap: bool) -> None:
    """MOV to and from memory, INC and CMP: a trap, after the instruction."""
    rig = Rig()
    watch(rig, DATA, kind, 4)
    rig.set("rbx", DATA)
    rig.step(code + "90", 1)
    rig.run(budget=1)
    if trap:
        assert trapped(rig, CODE + 2, 1)
    else:
        assert (rig.vector(), hits(rig)) == (None, 0)


def test_the_access_has_been_made_when_it_traps() -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 8)
    rig.set("rbx", DATA)
    rig.set("rax", 0x1234)
    rig.run("488903 f4")
    assert rig.read(DATA) == 0x1234
    assert trapped(rig, CODE + 3, 1)
    assert frame(rig)[1] & RF == 0


@pytest.mark.parametrize("length", [1, 2, 4, 8])
@pytest.mark.parametrize("size, code", [(1, "8803"), (2, "668903"), (4, "8903"), (8, "488903")])
def test_every_overlap_of_access_and_breakpoint(length: int, size: int, code: str) -> None:
    rig = Rig()
    rig.code(code + "90")
    watch(rig, DATA + 16, WRITE, length)
    for at in range(DATA + 4, DATA + 28):
        rig.set("dr6", 0xFFFF0FF0)
        rig.set("rip", CODE)
        rig.set("rsp", STACK_TOP)
        rig.set("rbx", at)
        rig.run(budget=1)
        expected = at < DATA + 16 + length and DATA + 16 < at + size
        assert bool(hits(rig)) == expected, hex(at)


def test_the_address_is_aligned_to_the_length() -> None:
    """The low bits of the address register do not count (SDM Vol. 3B 17.2.5)."""
    rig = Rig()
    watch(rig, DATA + 7, WRITE, 8)
    rig.set("rbx", DATA)
    rig.step("8803")
    assert hits(rig) == 1


def test_an_access_across_pages_hits_on_either() -> None:
    for at in (DATA + 0xFFF, DATA + 0x1000):
        rig = Rig()
        watch(rig, at, WRITE)
        rig.set("rbx", DATA + 0xFFC)
        rig.run("488903 f4")
        assert trapped(rig, CODE + 3, 1)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("enable", [0, 1, 2, 3])
def test_each_register_and_both_enables(number: int, enable: int) -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 4, number, enable)
    rig.set("rbx", DATA)
    rig.run("8903 f4")
    assert hits(rig) == (1 << number if enable else 0)


def test_several_breakpoints_are_reported_together() -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 4, 1)
    watch(rig, DATA + 2, ACCESS, 1, 3)
    watch(rig, DATA + 4, ACCESS, 1, 2)
    rig.set("rbx", DATA)
    rig.run("8903 f4")
    assert trapped(rig, CODE + 2, 0b1010)


def test_translations_made_before_are_no_way_round() -> None:
    """MOV to DR0 and DR7 takes effect at once, and so does its end."""
    rig = Rig()
    rig.set("rbx", DATA)
    rig.set("rcx", 0xD0402)
    rig.set("rdx", 0x400)
    rig.run("8903 0f23c3 0f23f9 8903 f4")                   # store; DR0 = rbx; DR7 = rcx; store
    assert trapped(rig, CODE + 10, 1)
    rig.set("rip", CODE)
    rig.set("dr6", 0xFFFF0FF0)
    rig.run("0f23fa 8903 f4")
    assert (rig.vector(), hits(rig)) == (None, 0)


def test_a_changed_address_takes_effect() -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 4)
    rig.set("rbx", DATA + 0x1000)
    rig.run("8903 0f23c3 8903 f4")
    assert trapped(rig, CODE + 7, 1)


def test_the_rest_of_a_watched_page_works() -> None:
    rig = Rig()
    watch(rig, DATA, ACCESS, 4)
    rig.set("rbx", DATA + 4)
    rig.set("rax", 77)
    rig.run("488903 488b0b f4")
    assert (rig.get("rcx"), hits(rig)) == (77, 0)


def test_a_trap_comes_right_after_its_instruction_in_the_middle_of_a_block() -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 4)
    rig.set("rbx", DATA)
    rig.run("ffc1 ffc1 8903 ffc1 ffc1 f4")
    assert trapped(rig, CODE + 6, 1)
    assert rig.get("rcx") == 2


def test_an_instruction_that_faults_reports_no_hit() -> None:
    """PUSH [rbx] reads the watched word, then its store faults."""
    rig = Rig()
    watch(rig, DATA, ACCESS, 4)
    rig.set("rbx", DATA)
    rig.protect(0x90000, 0)
    rig.write(0x5000 + 36, STACK_TOP)                       # IST1
    for vector in (DB, PF):
        rig.write(0x3000 + 16 * vector + 4, 1, 1)
    rig.set("rsp", 0x90100)
    rig.run("ff33 f4")
    assert (rig.vector(), hits(rig)) == (PF, 0)


def test_a_repeated_instruction_traps_after_the_iteration() -> None:
    """SDM Vol. 3B 17.2.4, 17.3.1.1: RCX, RSI and RDI are as after it; RF is set in the image between iterations."""
    for at, left, rip in ((2, 2, CODE), (4, 0, CODE + 2)):
        rig = Rig()
        watch(rig, DATA + at, WRITE)
        rig.set("rcx", 5)
        rig.set("rdi", DATA)
        rig.set("rax", 9)
        rig.run("f3aa f4")
        assert trapped(rig, rip, 1)
        assert (rig.get("rcx"), rig.get("rdi")) == (left, DATA + at + 1)
        assert bool(rig.read(DATA + at, 1)) and not rig.read(DATA + at + 1, 1)


def test_the_stack_is_data_too() -> None:
    rig = Rig()
    watch(rig, STACK_TOP - 8, WRITE, 8)
    rig.run("e800000000 f4")                                # CALL
    assert trapped(rig, CODE + 5, 1)


def test_pushing_an_exception_frame_traps_before_the_handler() -> None:
    rig = Rig()
    watch(rig, STACK_TOP - 8, WRITE, 8)
    rig.run("cc")
    assert trapped(rig, HANDLERS + 16 * BP, 1)


def test_outside_64_bit_mode() -> None:
    rig = Rig("pm32", paging=True)
    watch(rig, DATA, WRITE, 4)
    rig.set("rbx", DATA)
    rig.run("8903 f4")
    assert (rig.vector(), rig.read(rig.get("rsp"), 4), hits(rig)) == (DB, CODE + 2, 1)


def test_device_memory_can_be_watched() -> None:
    rig = Rig()
    rig.write(0x100000 + 0x3000 + 8 * (DATA >> 12), RAM | 7)        # a page where there is no RAM
    watch(rig, DATA, ACCESS, 4)
    rig.set("rbx", DATA)
    rig.port_input = [0x55]
    rig.run("8b03 f4")
    assert trapped(rig, CODE + 2, 1)
    assert rig.get("rax") == 0x55


# --- together with TF and the MOV SS shadow ---------------------------------------------


def test_single_step_and_data_breakpoint_are_one_exception() -> None:
    rig = Rig()
    watch(rig, DATA, WRITE, 4)
    rig.set("rbx", DATA)
    rig.set("flags", TF | 2)
    rig.run("8903 f4")
    assert trapped(rig, CODE + 2, 1 | BS)


def test_mov_ss_puts_its_own_hit_off_by_one_instruction() -> None:
    """SDM Vol. 3A 6.8.3."""
    rig = Rig()
    rig.write(DATA, 0x10)
    watch(rig, DATA, ACCESS, 4)
    rig.set("rbx", DATA)
    rig.run("8e13 ffc1 ffc1 f4")
    assert trapped(rig, CODE + 4, 1)
    assert rig.get("rcx") == 1


def test_an_instruction_breakpoint_after_mov_ss_is_suppressed() -> None:
    rig = Rig()
    rig.set("rax", 0x10)
    watch(rig, CODE + 2, EXECUTE)
    rig.run("8ed0 ffc1 f4")
    assert (rig.vector(), rig.get("rcx")) == (None, 1)
