"""OVMF, UEFI firmware, to its shell on the serial console, and off by a command there."""

import re
import struct

import pytest

from emu.machine import Machine
from emu.stop import POWER_OFF
from tests.guests.test_software import fetched

pytestmark = [pytest.mark.guests, pytest.mark.slow]
PROMPT, LIMIT = "Shell> ", 3_000_000_000


class Shell:
    """The firmware, its console as text without the terminal's control sequences, and what was reported."""

    def __init__(self, **options) -> None:
        self.console, self.reports = bytearray(), []
        self.machine = Machine(serial_out=self.console.extend, report=self.reports.append, **options)
        self.machine.load(None, bios=fetched("ovmf"))

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", self.console.decode("latin1"))

    def until(self, words: str, seen: int = 0) -> str:
        """Run until the console shows the words after its first `seen` characters."""
        while words not in self.text[seen:]:
            stop = self.machine.run(max_insns=5_000_000)
            assert stop.reason == "max-insns" and stop.icount < LIMIT, f"{stop}\n{self.text[-2000:]}"
        return self.text[seen:]

    def command(self, words: str) -> str:
        """What a command prints, up to the next prompt."""
        seen = len(self.text)
        self.machine.feed_serial(words.encode() + b"\r", more=True)
        return self.until(PROMPT, seen)


def table(machine: Machine, address: int) -> bytes:
    size, = struct.unpack("<I", machine.memory.read(address + 4, 4))
    data = machine.memory.read(address, size)
    assert sum(data) & 0xFF == 0
    return data


def test_the_shell_the_acpi_tables_and_power_off():
    """With two processors, of which it starts the second. It puts the power-management ports at 0xB000 (edk2, OvmfPkg,
    I440FxPiix4.h), and the tables that it got say so."""
    shell = Shell(vcpus=2)
    shell.until("any other key to continue")
    shell.machine.feed_serial(b"\x1b", more=True)
    shell.until(PROMPT)
    assert re.search(r"UEFI Interactive Shell v\d\.\d", shell.text) and "EDK II" in shell.text
    root = re.search(r"ACPI 2\.0 Table +([0-9A-F]{16})", shell.command("dmem"))
    assert root is not None
    xsdt = table(shell.machine, struct.unpack("<Q", shell.machine.memory.read(int(root[1], 16) + 24, 8))[0])
    found = {data[:4]: data for data in (table(shell.machine, at) for at, in struct.iter_unpack("<Q", xsdt[36:]))}
    assert {b"FACP", b"APIC", b"HPET"} <= found.keys()
    assert struct.unpack_from("<I", found[b"FACP"], 64)[0] == 0xB004 and found[b"FACP"][10:16] == b"STRATA"
    assert "PCI/ISA bridge" in shell.command("pci")
    shell.machine.feed_serial(b"reset -s\r", more=True)
    assert shell.machine.run(max_insns=1_000_000_000).reason == POWER_OFF
    assert shell.reports == []
