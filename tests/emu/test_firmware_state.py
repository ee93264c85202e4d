"""What a kernel that is started without firmware finds."""

import struct
from pathlib import Path

import pytest

from emu import boot
from emu.load import ram
from emu.load.model import Segment, SegmentRegister
from emu.machine import Machine
from emu.plane import GPR_NAMES
from emu.stop import HALTED, POWER_OFF, RESET
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


def in_real_mode(machine: Machine, code: str, **registers: int):
    """The vCPU runs code at 0:7000h; gives its plane and why it stopped."""
    plane = machine.vcpus[0].plane
    boot.reset(plane)
    boot.set_segment(plane, layout.CS, SegmentRegister(0, 0, 0xFFFF, 0x9B))
    machine.poke(0x7000, bytes.fromhex(code))
    for name, value in {"rsp": 0x7C00, **registers}.items():
        plane.set(layout.gpr(GPR_NAMES.index(name)), value)
    plane.set(layout.RIP, 0x7000)
    plane.update_mode()
    return plane, machine.run(max_insns=2000)


def test_multiboot_images_find_the_legacy_interrupts_working(tmp_path):
    """In real mode the timer ends a halt, and its vector ends the interrupt (Multiboot 0.6.96, 3.2)."""
    machine, reports = started(tmp_path, build.multiboot_elf())
    plane, stop = in_real_mode(machine, "fb f4 cd73 b00b e620 e420 fa f4")     # STI; HLT; INT 73h; OCW3: read ISR
    assert (stop.reason, plane.get(layout.gpr(0)) & 0xFF) == (HALTED, 0)
    assert machine.clock.now > 50_000_000 and reports == []


def test_int_15h_tells_multiboot_images_of_memory(tmp_path):
    """ACPI 6.4, 15.1: entries of 20 bytes, EBX goes on and is 0 after the last. E801h and 88h as BIOSes have them."""
    machine, _ = started(tmp_path, build.multiboot_elf())
    entries, ebx = [], 0
    while True:
        plane, _ = in_real_mode(machine, "cd15 f4", rax=0xE820, rdx=0x534D4150, rcx=20, rbx=ebx, rdi=0x500)
        assert plane.get(layout.gpr(0)) == 0x534D4150 and plane.get(layout.gpr(1)) == 20 and not plane.rflags & 1
        entries.append(struct.unpack("<QQI", machine.memory.read(0x500, 20)))
        ebx = plane.get(layout.gpr(3))
        if not ebx:
            break
    assert entries == [(r.base, r.size, r.type) for r in ram.address_map(64 << 20)]
    plane, _ = in_real_mode(machine, "cd15 f4", rax=0xE801)
    assert [plane.get(layout.gpr(n)) for n in (0, 3, 1)] == [0x3C00, 0x300, 0x3C00]     # 15 MiB, 48 MiB
    plane, _ = in_real_mode(machine, "cd15 f4", rax=0x8800)
    assert plane.get(layout.gpr(0)) == 63 << 10 and not plane.rflags & 1


@pytest.mark.parametrize("code, rax, expected, carry", (
    ("cd15", 0x1234, 0x8634, True), ("cd15", 0xE820, 0x8620, True),           # not supported, no SMAP
    ("cd13", 0x0800, 0x0100, True), ("cd12", 0, 639, False), ("cd11", 0, 0x222, False), ("cd10", 0x0F00, 0x5003, False),
    ("cd10", 0x1A00, 0x1A1A, False),
    ("cd10", 0x4F00, 0x4F00, False), ("cd16", 0x0100, 0, False)))
def test_other_services_of_a_bios(tmp_path, code, rax, expected, carry):
    machine, _ = started(tmp_path, build.multiboot_elf())
    plane, _ = in_real_mode(machine, f"{code} f4", rax=rax)
    assert (plane.get(layout.gpr(0)) & 0xFFFF, bool(plane.rflags & 1)) == (expected, carry)


def test_the_timer_is_counted_and_there_is_a_way_to_reset(tmp_path):
    machine, _ = started(tmp_path, build.multiboot_elf())
    read = machine.memory.read
    assert read(0xFFFFE, 1) == b"\xfc"
    in_real_mode(machine, "fb f4 f4 fa f4")                 # STI, two HLTs
    assert struct.unpack("<I", read(0x46C, 4)) == (2,)
    _, stop = in_real_mode(machine, "ea f0ff 00f0".replace(" ", ""))
    assert stop.reason == RESET


def test_an_image_in_low_memory_is_not_touched(tmp_path):
    data = build.elf(32, loads=[{"data": build.multiboot_header() + b"\xf4" * 4096, "vaddr": 0x100}], entry=0x110)
    machine, _ = started(tmp_path, data)
    assert machine.memory.read(0x400, 0x100) == b"\xf4" * 0x100


def test_other_images_find_the_8259a_as_after_reset(tmp_path):
    machine, _ = started(tmp_path, build.linux())
    assert machine.memory.read(0x20, 4) == bytes(4) and machine.pc.bus.port_read(0x21, 1) == 0
