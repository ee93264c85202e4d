"""What a kernel that is started without firmware finds."""

from pathlib import Path

from emu.load.model import Segment
from emu.machine import Machine
from emu.stop import POWER_OFF
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
    from emu import firmware_state
    assert firmware_state.acpi_tables(1, (Segment(0xF0800, b"x", 1),)) is None
    assert firmware_state.acpi_tables(1, (Segment(0xFF000, b"x", 1),)) is not None
