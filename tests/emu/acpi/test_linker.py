"""The linker script, carried out as firmware does it (QEMU, hw/acpi/bios-linker-loader)."""

import struct

import pytest

from emu.acpi import linker, tables
from emu.machine import Machine
from tests.emu.acpi.test_tables import entries

PLACES = {"etc/acpi/rsdp": 0xF0000, "etc/acpi/tables": 0xF0040}


def name(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


def linked(files: dict[str, bytes]) -> dict[str, bytearray]:
    """The files in the places that `PLACES` says."""
    memory: dict[str, bytearray] = {}
    script = files["etc/table-loader"]
    for at in range(0, len(script), 128):
        command, rest = struct.unpack_from("<I", script, at)[0], script[at + 4:at + 128]
        file = name(rest[:56])
        if command == 1:
            alignment, zone = struct.unpack_from("<IB", rest, 56)
            assert PLACES[file] % alignment == 0 and zone == (2 if file.endswith("rsdp") else 1)
            memory[file] = bytearray(files[file])
        elif command == 2:
            where, size = struct.unpack_from("<IB", rest, 112)
            value = int.from_bytes(memory[file][where:where + size], "little") + PLACES[name(rest[56:112])]
            memory[file][where:where + size] = value.to_bytes(size, "little")
        else:
            where, start, size = struct.unpack_from("<III", rest, 56)
            assert command == 3 and memory[file][where] == 0
            memory[file][where] = -sum(memory[file][start:start + size]) & 0xFF
    return memory


@pytest.mark.parametrize("cpus", [1, 5])
def test_the_script_makes_the_tables_that_a_loader_places(cpus):
    memory = linked(linker.files(cpus, 256 << 20, 0x600))
    placed = memory["etc/acpi/rsdp"].ljust(0x40, b"\0") + memory["etc/acpi/tables"]
    assert placed == tables.build(0xF0000, cpus, 256 << 20)


def test_firmware_finds_the_tables_with_the_ports_where_it_put_them():
    machine = Machine(memory=64 << 20, engine="interp")
    bus = machine.pc.bus

    def file(wanted: str) -> bytes:
        bus.port_write(0x510, 2, 0x19)
        directory = bytes(bus.port_read(0x511, 1) for _ in range(4 + 64 * 16))
        for n in range(struct.unpack_from(">I", directory)[0]):
            size, key, _, entry = struct.unpack_from(">IHH56s", directory, 4 + 64 * n)
            if name(entry) == wanted:
                bus.port_write(0x510, 2, key)
                return bytes(bus.port_read(0x511, 1) for _ in range(size))
        raise AssertionError(wanted)
    power = machine.pc.pci.functions()[1, 3]
    power.write(0x40, 4, 0xB000)
    power.write(0x80, 1, 1)
    memory = linked({wanted: file(wanted) for wanted in (*PLACES, "etc/table-loader")})
    placed = memory["etc/acpi/rsdp"].ljust(0x40, b"\0") + memory["etc/acpi/tables"]
    fadt = entries(bytes(placed))[b"FACP"]
    assert struct.unpack_from("<I", fadt, 64)[0] == 0xB004 and sum(fadt) & 0xFF == 0
