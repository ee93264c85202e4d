"""Debian's Xen, unmodified, with Debian's kernel as its first domain: a hypervisor between the two of them."""

from pathlib import Path

import pytest

from emu.machine import Machine
from emu.stop import HALTED, POWER_OFF
from tests.guests.test_linux import LIMIT, UNPACKING
from tests.guests.test_software import fetched
from tools.initramfs.build import DONE, initramfs

pytestmark = pytest.mark.guests
XEN = "com1=115200,8n1 console=com1 loglvl=all noreboot "
DOMAIN = "console=hvc0 earlyprintk=xen nokaslr panic=-1 cryptomgr.notests"


class Xen:
    """A machine that starts Xen, and the console that it shares with its first domain."""

    def __init__(self, append: str = "", kind: str = "auto", modules: str | None = None, **options) -> None:
        self.console, self.reports = bytearray(), []
        self.machine = Machine(serial_out=self.console.extend, report=self.reports.append, **options)
        self.machine.load(fetched("xen"), kind=kind, append=XEN + append, initrd=modules)

    @property
    def text(self) -> str:
        return self.console.decode("latin-1")


@pytest.mark.parametrize("kind, place", (("multiboot", "0"), ("multiboot2", "0x1fa00000")))
def test_it_finds_what_a_boot_loader_and_a_bios_leave(kind, place):
    """As under QEMU, which starts it by the former protocol; by the latter it is moved to the end of RAM."""
    xen = Xen(kind=kind, memory=512 << 20)
    stop = xen.machine.run(max_insns=10_000_000)
    assert stop.reason == HALTED and "Panic on CPU 0:\r\n(XEN) dom0 kernel not specified" in xen.text
    assert f"Xen image load base address: {place}" in xen.text and "Bootloader: strata" in xen.text
    assert "VGA is text mode 80x25, font 8x16" in xen.text and "Found 0 MBR signatures" in xen.text
    assert xen.reports == []


@pytest.mark.slow
@pytest.mark.parametrize("vcpus", (1, 2))
def test_linux_runs_in_its_first_domain(tmp_path, vcpus):
    """Descriptor tables, page tables and interrupts of a kernel that is at CPL 3, while Xen has shadow stacks."""
    ramdisk = tmp_path / "initramfs.cpio"
    ramdisk.write_bytes(initramfs(Path(fetched("busybox")).read_bytes(), ("uname -a", "cat /proc/interrupts")))
    xen = Xen("dom0_mem=512M", "multiboot2", f"{fetched('linux')} {DOMAIN},{ramdisk}", memory=1 << 30, vcpus=vcpus)
    stop = xen.machine.run(max_insns=LIMIT + UNPACKING)
    assert stop.reason == POWER_OFF, f"{stop}\n{xen.text[-3000:]}"
    assert f"Brought up {vcpus} CPUs" in xen.text and "xen-percpu" in xen.text and DONE in xen.text
    assert "Entering ACPI S5 state" in xen.text and "Call Trace" not in xen.text and "BUG" not in xen.text
