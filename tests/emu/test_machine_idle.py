"""What a machine does while its guest waits."""

import pytest

from emu.clock import SECOND
from emu.machine import Machine
from emu.stop import HALTED, TIMEOUT

PIT = "b034 e643 b000 e640 e640 "           # mov al, 0x34; out 0x43, al: counter 0 runs, over and over
# ICW1 to ICW4 of the master 8259A: IRQ 0 is vector 8; then it alone is let through
UNMASK = "b011 e620 b008 e621 b004 e621 b001 e621 b0fe e621 "
CLI_HLT, STI_HLT = "fa f4", "fb f4 ebfc"    # ... jmp to sti


def machine(tmp_path, code: str) -> Machine:
    (tmp_path / "code").write_bytes(bytes.fromhex(code.replace(" ", "")))
    made = Machine(memory=1 << 20, engine="interp")
    made.load(str(tmp_path / "code"), load_address=0x7C00, mode=16)
    made.memory.write(8 * 4, bytes.fromhex("00500000"))                     # IRQ 0 to 0000:5000 ...
    made.memory.write(0x5000, bytes.fromhex("b020e620cf"))                  # ... mov al, 0x20; out 0x20, al; iret
    return made


def test_halted_with_interrupts_off_is_the_end_though_a_timer_runs(tmp_path):
    stop = machine(tmp_path, PIT + CLI_HLT).run(timeout=20)
    assert stop.reason == HALTED and stop.icount < 20


def test_an_nmi_from_the_io_apic_would_still_wake_it(tmp_path):
    guest = machine(tmp_path, PIT + CLI_HLT)
    guest.pc.ioapic.mmio_write(0, 4, 0x10 + 2 * 2)
    guest.pc.ioapic.mmio_write(0x10, 4, 0x400)                              # input 2, the timer's: NMI to APIC 0
    assert guest.pc.may_raise_nmi()
    guest.memory.write(2 * 4, bytes.fromhex("00600000"))
    guest.memory.write(0x6000, bytes.fromhex("b062e6f4"))                   # mov al, 0x62; out 0xf4, al
    stop = guest.run(timeout=20)
    assert stop.reason == "exit" and stop.status == 0xC5


@pytest.mark.parametrize("interactive", [False, True])
def test_idle_time_is_skipped_unless_somebody_may_type(tmp_path, interactive):
    guest = machine(tmp_path, PIT + UNMASK + STI_HLT)
    if interactive:
        guest.feed_serial(b"", more=True)
    guest.run(max_insns=40)
    stop = guest.run(timeout=0.4)
    assert stop.reason == TIMEOUT
    assert guest.clock.now < 2 * SECOND if interactive else guest.clock.now > SECOND
