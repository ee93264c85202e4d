"""SeaBIOS starts a GRUB rescue image from a virtio disk: to its menu, and on to Debian's kernel and a shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from emu.machine import Machine
from tests.guests.test_software import fetched
from tools.bench.boot import SHORT
from tools.initramfs.build import READY, initramfs

pytestmark = [pytest.mark.guests, pytest.mark.slow]
MENU, LIMIT = b"Power off", 1_500_000_000
CONFIGURATION = f"""
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=60
menuentry "Linux" {{
  linux /boot/vmlinuz {SHORT}
  initrd /boot/initramfs.cpio
}}
menuentry "Power off" {{
  halt
}}
"""


def rescue_image(directory: Path) -> Path:
    """As docs/run.md makes it."""
    missing = [tool for tool in ("grub-mkrescue", "xorriso", "mformat") if shutil.which(tool) is None]
    if missing or not Path("/usr/lib/grub/i386-pc").is_dir():
        pytest.skip(f"{', '.join(missing) or 'grub-pc-bin'} is missing: install Debian's grub-pc-bin, grub-common, "
                    "xorriso and mtools")
    boot = directory / "tree" / "boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "grub" / "grub.cfg").write_text(CONFIGURATION)
    shutil.copy(fetched("linux-cloud"), boot / "vmlinuz")
    (boot / "initramfs.cpio").write_bytes(initramfs(Path(fetched("busybox")).read_bytes(), ()))
    image = directory / "rescue.iso"
    subprocess.run(["grub-mkrescue", "-o", image, directory / "tree"], check=True, capture_output=True)
    return image


def test_seabios_to_grub_to_linux(tmp_path):
    console, reports = bytearray(), []
    machine = Machine(disks=[str(rescue_image(tmp_path))], serial_out=console.extend, report=reports.append)
    machine.load(None, bios=fetched("seabios"))

    def until(words: bytes) -> None:
        while words not in console:
            stop = machine.run(max_insns=5_000_000)
            assert stop.reason == "max-insns" and machine.icount < LIMIT, f"{stop}\n{console[-2000:]!r}"

    until(MENU)
    machine.feed_serial(b"\r", more=True)
    until(READY.encode())
    machine.feed_serial(b"echo $((6 * 7)) and $(uname -m)\n", more=True)
    until(b"42 and x86_64")
    assert reports == []
