"""Debian's OVMF, unmodified, as an SNP guest that starts from its own metadata."""

from pathlib import Path

import pytest

from emu.machine import Machine
from emu.planes.snp import exits, ghcb_msr
from emu.planes.snp.custom import hypervisor_class
from emu.planes.snp.hypervisor import Hypervisor
from tests.guests.test_software import fetched

pytestmark = [pytest.mark.guests, pytest.mark.slow]
MEMORY = 256 << 20
ACCEPT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "hypervisors" / "accept_memory.py"


class Ovmf:
    """The firmware and its serial port."""

    def __init__(self, hypervisor: type[Hypervisor] = Hypervisor) -> None:
        self.console: bytearray = bytearray()
        self.machine = Machine(memory=MEMORY, planes="snp", hypervisor=hypervisor, serial_out=self.console.extend)
        self.machine.load(None, bios=fetched("ovmf"))

    def until(self, words: str, limit: int) -> str:
        """Run until the console shows the words; gives all of it."""
        while words.encode() not in self.console:
            stop = self.machine.run(max_insns=10_000_000)
            assert stop.reason == "max-insns" and stop.icount < limit, f"{stop}\n{self.console[-3000:]!r}"
        return self.console.decode("utf-8", "replace")


def test_from_its_metadata_into_pei():
    """SEC: protocol, features, GHCB, memory that it accepts, local APIC and PCI through #VC, decompression. PEI copies
    its variables into memory that it has not accepted yet (Debian builds it with Secure Boot; tianocore/edk2 pull
    request 6285), and takes the #VC for what it is."""
    ovmf = Ovmf()
    text = ovmf.until("Find image based on IP", 600_000_000)
    assert "X64 Exception Type" in text
    asked = ovmf.machine.plane_model.hypervisor.exits
    assert {ghcb_msr.SEV_INFO_REQUEST, ghcb_msr.FEATURES_REQUEST, ghcb_msr.REGISTER_GPA_REQUEST} <= asked.keys()
    assert asked[exits.PSC] >= 3 and asked[exits.MMIO_WRITE] and asked[exits.CPUID] and asked[exits.MSR] > 100
    assert asked[exits.IOIO] > 100 and asked[exits.UNSUPPORTED] == 1


def test_to_its_shell_with_memory_that_is_accepted_before():
    """DXE and BDS too: page state changes both ways, MTRRs, devices."""
    ovmf = Ovmf(hypervisor_class(str(ACCEPT)))
    assert "BdsDxe: starting" in ovmf.until("UEFI Interactive Shell v2.2", 2_000_000_000)
    asked = ovmf.machine.plane_model.hypervisor.exits
    assert asked[exits.PSC] > 50 and asked.get(exits.UNSUPPORTED, 0) == 0
