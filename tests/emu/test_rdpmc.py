"""Performance counters and RDPMC (APM Vol. 2 13.2.1, Vol. 3 RDPMC)."""

import pytest

from emu.irq.apicbus import NMI
from emu.irq.lapic import LVT_PERF, SVR
from emu.machine import Machine
from jit import layout
from tests.emu.flat import HANDLERS, IF, Flat

# mov ecx, 0xc0010006; mov eax, 0x12345678; mov edx, 0x9a; wrmsr; mov ecx, N; rdpmc; hlt
WRITE = "b9060001c0 b878563412 ba9a000000 0f30"


@pytest.mark.parametrize("cpu, counter, faults", [("max", 2, False), ("max", 4, True), ("Skylake-Server", 2, True)])
def test_counters_are_those_of_the_msrs(tmp_path, cpu, counter, faults):
    code = f"{WRITE} b9{counter:02x}000000 0f33 f4"
    (tmp_path / "code").write_bytes(bytes.fromhex(code.replace(" ", "")))
    machine = Machine(memory=1 << 20, engine="interp", cpu=cpu)
    machine.load(str(tmp_path / "code"), load_address=0x8000, mode=64)
    stop = machine.run(max_insns=7)
    plane = machine.vcpus[0].plane
    if faults:
        assert stop.reason == "triple-fault" and "vector 13" in stop.message
    else:
        assert (plane.get(layout.gpr(0)), plane.get(layout.gpr(2))) == (0x12345678, 0x9A)


# mov ecx, 0xc0010000; mov eax, CONTROL; xor edx, edx; wrmsr; nop; nop; xor ecx, ecx; rdpmc
COUNT = "b9000001c0 b8{} 31d2 0f30 90 90 31c9 0f33 {}"
ENABLE, USER, SYSTEM, INTERRUPT = 1 << 22, 1 << 16, 1 << 17, 1 << 20
CONTROL = (ENABLE | USER | SYSTEM | 0xC2).to_bytes(4, "little").hex()       # retired branches


def counted(tmp_path, control, more="f4", instructions=8):
    """What RDPMC reads four instructions after the control register was written, and the machine's complaints."""
    reports = []
    (tmp_path / "code").write_bytes(bytes.fromhex(COUNT.format(control.to_bytes(4, "little").hex(), more)))
    machine = Machine(memory=1 << 20, engine="interp", report=reports.append)
    machine.load(str(tmp_path / "code"), load_address=0x8000, mode=64)
    machine.run(max_insns=instructions)
    return machine.vcpus[0].plane.get(layout.gpr(0)), reports


@pytest.mark.parametrize("event", (0xC0, 0x76))
def test_instructions_and_cycles_are_counted(tmp_path, event):
    assert counted(tmp_path, ENABLE | USER | SYSTEM | event) == (4, [])


def test_a_counter_that_is_switched_off_stops(tmp_path):
    """Another WRMSR clears EN; RDPMC reads the same after it as later."""
    off = "b9000001c0 31c0 31d2 0f30 90 90 31c9 0f33"
    value, _ = counted(tmp_path, ENABLE | SYSTEM | USER | 0xC0, off, 16)
    assert value == 4 + 4


@pytest.mark.parametrize("control, words", ((ENABLE | SYSTEM | USER | 0x41, "counts nothing"),
                                            (ENABLE | USER | 0xC0, "privilege level")))
def test_what_they_cannot_do_is_said(tmp_path, control, words):
    _, reports = counted(tmp_path, control)
    assert any(words in report for report in reports)


@pytest.mark.parametrize("compared, expected", ((1 << 24, 4), (2 << 24, 0), (1 << 23 | 2 << 24, 4),
                                                (1 << 23 | 1 << 24, 0), (1 << 23, 4)))
def test_cycles_with_enough_events_are_counted(tmp_path, compared, expected):
    """APM Vol. 2 13.2.1.1, CntMask and Inv: each cycle has one event."""
    assert counted(tmp_path, ENABLE | USER | SYSTEM | 0xC0 | compared) == (expected, [])


# mov ecx, 0xc0010004; mov eax, -LEFT; mov edx, 0xffff; wrmsr; mov ecx, 0xc0010000; mov eax, CONTROL; xor edx, edx;
# wrmsr
OVERFLOW = "b9040001c0 b8{} baffff0000 0f30 b9000001c0 b8{} 31d2 0f30" + 2000 * "90"


@pytest.mark.parametrize("left, control", ((1, ENABLE | INTERRUPT), (900, ENABLE | INTERRUPT), (10, ENABLE)))
def test_an_overflow_interrupts_after_its_instruction(tmp_path, left, control):
    """The eighth instruction starts the counter, and is the first that it counts."""
    code = OVERFLOW.format((-left & 0xFFFFFFFF).to_bytes(4, "little").hex(),
                           (control | SYSTEM | USER | 0xC0).to_bytes(4, "little").hex())
    (tmp_path / "code").write_bytes(bytes.fromhex(code))

    def started() -> Machine:
        machine = Machine(memory=1 << 20)
        machine.load(str(tmp_path / "code"), load_address=0x8000, mode=64)
        machine.vcpus[0].lapic.write_register(SVR, 0x1FF)
        machine.vcpus[0].lapic.write_register(LVT_PERF, NMI << 8)
        return machine
    machine = started()
    vcpu = machine.vcpus[0]
    machine.run(max_insns=7 + left - 1)
    assert not vcpu.plane.get(layout.NMI)
    machine.run(max_insns=1)
    assert vcpu.plane.get(layout.NMI) == bool(control & INTERRUPT)
    assert vcpu.counters.msr_read(0xC0010004) == 0 and vcpu.lapic.read_register(LVT_PERF) == NMI << 8
    if control & INTERRUPT:                             # in one go: nothing handles the NMI
        assert started().run(max_insns=1500).icount == 7 + left


def test_control_bits_that_do_not_exist_fault(tmp_path):
    (tmp_path / "code").write_bytes(bytes.fromhex(COUNT.format("00000800", "f4")))
    machine = Machine(memory=1 << 20, engine="interp")
    machine.load(str(tmp_path / "code"), load_address=0x8000, mode=64)
    assert machine.run(max_insns=5).reason == "triple-fault"


@pytest.mark.parametrize("engine", ("interp", "blocks"))
def test_branches_are_counted_taken_or_not(engine):
    """Family 19h PPR, PMCx0C2: all changes of control flow that retire, exceptions and interrupts too. A branch that
    faults has not retired."""
    flat = Flat(machine=Machine(memory=4 << 20, engine=engine))
    flat.m.memory.write(HANDLERS + 32 * 13, bytes.fromhex("4883c408 4883042402 48cf"))    # over a jmp rax
    flat.code(f"b9000001c0 b8{CONTROL} 31d2 0f30"
              "e800000000 58"                       # call 1: 1
              "b903000000 e2fe"                     # three times loop
              "85e4 7400"                           # je, not taken
              "cd20"                                # int 0x20, iretq
              "48b80000000000000080 ffe0"           # jmp rax to a non-canonical address: an exception, and an iretq
              "31c9 0f33")
    assert flat.run() == "halted"
    assert flat.reg("rax") == 1 + 3 + 1 + 2 + 2


def test_branches_of_a_hot_loop_are_counted_and_interrupt():
    """The counter is set to 30,000 before it overflows; the loop has one branch in three instructions."""
    flat = Flat(machine=Machine(memory=4 << 20, engine="auto"))
    flat.vcpu.lapic.write_register(LVT_PERF, 0x55)
    left = (-30000 & 0xFFFFFFFF).to_bytes(4, "little").hex()
    control = (ENABLE | USER | SYSTEM | INTERRUPT | 0xC2).to_bytes(4, "little").hex()
    flat.code(f"b9040001c0 b8{left} baffff0000 0f30 b9000001c0 b8{control} 31d2 0f30"
              "b960ea0000 ffc3 90 e2fb 31c9 0f33", rflags=2 | IF)
    assert flat.run(200_000) == "halted"
    assert flat.count(0x55) == 1
    assert flat.reg("rax") == 30_000 + 2            # the interrupt, and its handler's IRETQ


def test_counting_branches_ends_with_the_counter():
    flat = Flat()
    flat.code(f"b9000001c0 b8{CONTROL} 31d2 0f30 eb00 31c0 0f30 eb00 eb00 31c9 0f33")
    flat.run()
    assert flat.reg("rax") == 1 and not flat.m.engine.translator.counts_branches


def test_a_branch_is_mispredicted_after_each_barrier():
    """IA32_PRED_CMD.IBPB lets nothing be predicted by what was learned before (SDM Vol. 4)."""
    flat = Flat()
    control = (ENABLE | USER | SYSTEM | 0xC3).to_bytes(4, "little").hex()
    barrier = "b949000000 b801000000 0f30"
    flat.code(f"b9000001c0 b8{control} 31d2 0f30 eb00 {barrier} eb00 {barrier} 31c9 0f33")
    flat.run()
    assert flat.reg("rax") == 2 and flat.reports == []
