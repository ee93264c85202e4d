"""Xen with Debian's kernel as its Dom0: a hypervisor with supervisor shadow stacks and branch tracking, and a
paravirtual kernel at CPL 3 under it, to a command of its init."""

import re

import pytest

from emu.stop import POWER_OFF
from tests.guests.test_software import Console, fetched
from tools.initramfs.build import DONE, initramfs

pytestmark = [pytest.mark.guests, pytest.mark.slow]
LIMIT = 30_000_000_000


def test_xen_starts_a_paravirtual_linux(tmp_path):
    disk = tmp_path / "initramfs.cpio"
    with open(fetched("busybox"), "rb") as busybox:
        disk.write_bytes(initramfs(busybox.read(), ["cat /sys/hypervisor/type"]))
    console = Console(memory=1 << 30)
    console.machine.load(fetched("xen"), initrd=f"{fetched('linux-cloud')} console=hvc0 earlyprintk=xen,{disk}",
                         append="console=com1 com1=115200,8n1 loglvl=all")
    stop = console.machine.run(max_insns=LIMIT)
    text = console.serial.decode("latin1")
    assert "Enabling Supervisor Shadow Stacks" in text and "Enabling Indirect Branch Tracking" in text
    assert re.search(r"^xen\s*$", text, re.MULTILINE) and DONE in text, text[-3000:]
    assert not re.search(r"Oops|BUG|panic|unhandled", text, re.IGNORECASE), text[-3000:]
    assert stop.reason == POWER_OFF
