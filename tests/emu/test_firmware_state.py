"""What a kernel that is started without firmware finds."""

from pathlib import Path

from emu.load.model import Segment
from emu.machine import Machine
from emu.stop import HALTED, POWER_OFF
from jit import layout
from tests.emu.load import build

# mov dx, 0x604; mov eax, 0x2000; out dx, ax; hlt: PM1 control with SLP_EN and type 0
POWER_OFF_CODE = bytes.fromhex("66ba0406b80020000066eff4")


def started(tmp_path: Path, data: bytes, **options) -> tuple[Machine, list[str]]:
    reports: list[str] = []
    (tmp_path / "image").write_bytes(data)
    machine = Machine(memory=64 << 20, engine="interp", report=reports.append, **options)
    machine.load(str(tmp_path / "image"))
    return machine, reports


def test_a_kernel_finds_the_tables_and_can_power_off(tmp_path):
    kernel = bytes(0x200) + POWER_OFF_CODE + bytes(0x200)
    machine, reports = started(tmp_path, build.linux(kernel=kernel), vcpus=2)
    assert machine.memory.read(0xF0000, 8) == b"RSD PTR "
    assert machine.run(max_insns=1000).reason == POWER_OFF
    assert reports == []


def test_interrupts_of_pci_devices_are_routed_and_level_triggered(tmp_path):
    machine, _ = started(tmp_path, build.linux())
    functions = machine.pc.pci.functions()
    assert [functions[1, 0].pirq_route(pin) for pin in range(4)] == [10, 10, 11, 11]
    assert functions[1, 3].register(0x3C, 1) == 10
    assert (machine.pc.bus.port_read(0x4D0, 1), machine.pc.bus.port_read(0x4D1, 1)) == (0, 0x0E)


def test_an_image_that_lies_where_the_tables_would_be_goes_without(tmp_path):
    machine, _ = started(tmp_path, build.linux())
    from emu import firmware_state
    assert firmware_state.tables_for(machine.pc, 1, (0, 0), (Segment(0xF0800, b"x", 1),)) is None
    assert firmware_state.tables_for(machine.pc, 1, (0, 0), (Segment(0xFF000, b"x", 1),)) is not None


def test_multiboot_images_find_the_legacy_interrupts_working(tmp_path):
    """In real mode the timer ends a halt, and its vector ends the interrupt (Multiboot 0.6.96, 3.2)."""
    from emu import boot
    from emu.load.model import SegmentRegister
    machine, reports = started(tmp_path, build.multiboot_elf())
    plane = machine.vcpus[0].plane
    boot.reset(plane)
    boot.set_segment(plane, layout.CS, SegmentRegister(0, 0, 0xFFFF, 0x9B))
    machine.memory.write(0x7000, bytes.fromhex("fb f4 cd73 b00b e620 e420 fa f4"))   # STI; HLT; INT 73h; OCW3: read ISR
    plane.set(layout.RIP, 0x7000)
    plane.set(layout.gpr(4), 0x7C00)
    plane.update_mode()
    stop = machine.run(max_insns=200)
    assert (stop.reason, plane.get(layout.gpr(0)) & 0xFF) == (HALTED, 0)
    assert machine.clock.now > 50_000_000 and reports == []


def test_other_images_find_the_8259a_as_after_reset(tmp_path):
    machine, _ = started(tmp_path, build.linux())
    assert machine.memory.read(0x20, 4) == bytes(4) and machine.pc.bus.port_read(0x21, 1) == 0
