"""Instruction and I/O breakpoints, and DR6 over several exceptions (SDM Vol. 3B 17.2, 17.3)."""
import pytest

from jit import exits, layout
from tests.jit.rig import CODE, HANDLERS, STACK_TOP, Rig
from tests.jit.test_debug_registers import ACCESS, BS, DATA, DB, EXECUTE, GD, PORT, RF, TF, frame, hits, trapped, watch

# --- instruction breakpoints ---------------------------------------------


@pytest.mark.parametrize("at", [0, 2, 4])
def test_it_faults_before_the_instruction(at: int) -> None:
    """RF is 0 in the image (SDM Vol. 3B 17.3.1.1)."""
    rig = Rig()
    watch(rig, CODE + at, EXECUTE, number=2)
    rig.run("ffc1 ffc1 ffc1 f4")
    assert trapped(rig, CODE + at, 4)
    assert rig.get("rcx") == at // 2
    assert frame(rig)[1] & RF == 0


def test_only_the_first_byte_counts() -> None:
    rig = Rig()
    watch(rig, CODE + 1, EXECUTE)
    rig.run("ffc1 f4")
    assert rig.vector() is None


def test_rf_suppresses_it_once() -> None:
    rig = Rig()
    watch(rig, CODE, EXECUTE)
    rig.set("flags", RF | 2)
    rig.run("ffc1 ebfc")                                    # INC; JMP back
    assert trapped(rig, CODE, 1)
    assert rig.get("rcx") == 1


def test_iret_with_rf_continues() -> None:
    """A handler that sets RF in the image goes past the breakpoint."""
    rig = Rig()
    watch(rig, CODE, EXECUTE)
    rig.memory.write(HANDLERS + 16 * DB, bytes.fromhex("814c241000000100 48cf"))    # OR dword [rsp+16], RF; IRETQ
    assert rig.run("ffc1 f4") == exits.HALT
    assert (rig.get("rcx"), rig.get("rip"), hits(rig)) == (1, CODE + 2, 1)


def test_it_comes_before_the_instruction_s_own_faults() -> None:
    """SDM Vol. 3A table 6-2: before the fetch, too."""
    rig = Rig()
    watch(rig, 0x90000, EXECUTE)
    rig.protect(0x90000, 0)
    rig.code("")
    rig.set("rip", 0x90000)
    rig.run()
    assert trapped(rig, 0x90000, 1)


def test_rf_holds_between_iterations() -> None:
    """A breakpoint on a repeated instruction faults once: before the first iteration."""
    rig = Rig()
    watch(rig, CODE, EXECUTE)
    rig.set("flags", RF | 2)
    rig.set("rcx", 3)
    rig.set("rdi", DATA)
    assert rig.run("f3aa f4") == exits.HALT
    assert (rig.vector(), rig.get("rcx")) == (None, 0)


def test_a_fault_pushes_rf_where_the_breakpoint_does_not() -> None:
    """General detection is a fault of another kind (SDM Vol. 3B 17.3.1.1, 17.3.1.3)."""
    rig = Rig()
    rig.set("dr7", 0x400 | GD)
    rig.run("0f21c0")
    assert rig.vector() == DB
    assert frame(rig)[1] & RF
    assert rig.get("dr6") & 1 << 13


# --- I/O breakpoints ---------------------------------------------


@pytest.mark.parametrize("de", [True, False])
@pytest.mark.parametrize("code", ["e660", "e460", "e75f", "6e", "6c"])
def test_port_accesses(code: str, de: bool) -> None:
    """OUT, IN, a wider access that overlaps, OUTSB, INSB; only with CR4.DE (SDM Vol. 3B 17.2.4)."""
    rig = Rig()
    rig.set("cr4", rig.get("cr4") | (8 if de else 0))
    watch(rig, 0x60, PORT)
    rig.set("rdx", 0x60)
    rig.set("rsi", DATA)
    rig.set("rdi", DATA)
    rig.port_input = [1]
    rig.run(code + "f4")
    if de:
        assert trapped(rig, CODE + len(code) // 2, 1)
    else:
        assert (rig.vector(), hits(rig)) == (None, 0)


def test_memory_at_the_same_number_is_something_else() -> None:
    rig = Rig()
    rig.set("cr4", rig.get("cr4") | 8)
    watch(rig, DATA, PORT, 4)
    rig.set("rbx", DATA)
    rig.run("8903 f4")
    assert rig.vector() is None


def test_int1_sets_no_bits() -> None:
    rig = Rig()
    rig.run("f1")
    assert (rig.vector(), hits(rig)) == (DB, 0)


# --- DR6 over several exceptions ---------------------------------------------


def test_b3_to_b0_are_those_of_the_last_debug_exception() -> None:
    """SDM Vol. 3B 17.2.3: the processor clears B3-B0 that do not apply, and nothing else."""
    rig = Rig()
    rig.set("dr6", 0xFFFF0FF0 | BS | 0b1010)
    watch(rig, CODE, EXECUTE, number=2)
    rig.run("90")
    assert rig.vector() == DB
    assert rig.get("dr6") == 0xFFFF0FF0 | BS | 0b0100


def test_a_single_step_clears_old_hits() -> None:
    rig = Rig()
    rig.set("dr6", 0xFFFF0FF0 | 0b0010)
    rig.set("flags", TF | 2)
    rig.run("90 90")
    assert trapped(rig, CODE + 1, BS)


def test_int1_after_mov_ss_takes_the_held_back_hit_along() -> None:
    """One #DB, for both."""
    rig = Rig()
    watch(rig, DATA, ACCESS, 2)
    rig.write(DATA, 0x10, 2)
    rig.set("rbx", DATA)
    rig.code("8e13 f1 90")                      # MOV SS, [RBX]; INT1
    rig.run(budget=3)
    assert trapped(rig, CODE + 3, 1)
    assert rig.get("rsp") == STACK_TOP - 40


def test_an_instruction_breakpoint_after_mov_ss_hits_on_amd() -> None:
    rig = Rig()
    rig.set("vendor", layout.VENDOR_AMD)
    watch(rig, CODE + 2, EXECUTE)
    rig.set("rax", 0x10)
    rig.run("8ed0 90 90")
    assert trapped(rig, CODE + 2, 1)
