"""Debian's cloud kernel, unmodified, as an SEV-SNP guest at VMPL0: to a shell through #VC and GHCB, and off again."""

import re
from pathlib import Path

import pytest

from emu.machine import Machine
from emu.planes.snp import exits, ghcb_msr
from emu.stop import HALTED, POWER_OFF
from tests.guests.test_linux import LIMIT, Linux, trouble
from tests.guests.test_software import fetched
from tools.cli import snp
from tools.initramfs.build import DONE, READY, initramfs

pytestmark = [pytest.mark.guests, pytest.mark.slow]
APPEND = "console=ttyS0 panic=-1 cryptomgr.notests"
COMMANDS = ("cat /proc/cpuinfo | grep -c ^processor", "cat /proc/interrupts", "seq 1 2000 | sort -r | md5sum",
            "dmesg | grep -i -e SEV -e encrypt", "sleep 1", "echo ran $((6 * 7)) on $(nproc)")


@pytest.mark.parametrize("vcpus", [1, 4])
def test_it_runs_commands_and_powers_off(tmp_path, vcpus):
    """The kernel finds SEV-SNP, accepts and converts memory, starts the other processors by AP creation."""
    linux = Linux(tmp_path, APPEND, COMMANDS, planes="snp", vcpus=vcpus)
    stop = linux.machine.run(max_insns=LIMIT)
    assert stop.reason == POWER_OFF, f"{stop}\n{linux.text[-3000:]}"
    assert linux.lines_of_trouble() == [] and DONE in linux.text
    assert "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP" in linux.text
    assert "SEV: Using SNP CPUID table" in linux.text and "SEV: SNP guest platform device initialized" in linux.text
    assert "software IO TLB: mapped" in linux.text            # devices reach shared memory only
    after = linux.text.partition(READY)[2]
    assert re.search(rf"^{vcpus}\r?$", after, re.M) and f"ran 42 on {vcpus}" in after
    assert re.search(r"^2e9c29a3e64ec8303dcda875708e6884  -", after, re.M)
    if vcpus > 1:
        assert f"smp: Brought up 1 node, {vcpus} CPU" in linux.text
    asked = linux.machine.plane_model.hypervisor.exits
    assert asked.get(exits.AP_CREATION, 0) == vcpus - 1
    assert asked[ghcb_msr.REGISTER_GPA_REQUEST] >= vcpus and asked[exits.PSC]
    assert linux.machine.plane_model.hypervisor.terminated is None
    assert [line for line in linux.reports if "SEV-SNP" in line or "MSR" in line] == []


def test_from_an_igvm_file_without_firmware(tmp_path):
    """No ACPI, so no power-off either; the interrupt controllers are the 8259A pair."""
    disk, file = tmp_path / "initramfs.cpio", tmp_path / "linux.igvm"
    disk.write_bytes(initramfs(Path(fetched("busybox")).read_bytes(), COMMANDS))
    assert snp.main(["pack", fetched("linux-cloud"), "--initrd", str(disk), "--append", APPEND, "--mem", "256M",
                     "--output", str(file)]) == 0
    console, reports = bytearray(), []
    machine = Machine(memory=256 << 20, planes="snp", serial_out=console.extend, report=reports.append)
    machine.load(str(file))
    stop = machine.run(max_insns=LIMIT)
    text = console.decode("utf-8", "replace")
    assert stop.reason == HALTED and DONE in text, f"{stop}\n{text[-3000:]}"
    assert "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP" in text and "ran 42 on 1" in text
    assert [line for line in trouble(text) if "valid RSDP" not in line] == []
    assert [line for line in reports if "SEV-SNP" in line or "MSR" in line] == []
