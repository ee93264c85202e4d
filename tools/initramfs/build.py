"""What the initial RAM disk holds: busybox under all its names, /init, and the commands that it runs."""

from __future__ import annotations

from collections.abc import Sequence

from tools.initramfs.cpio import Archive

DIRECTORIES = ("bin", "sbin", "usr", "usr/bin", "usr/sbin", "dev", "proc", "sys", "tmp", "root", "etc")
READY = "strata-init: ready"            # printed when the system is up, before the first command
DONE = "strata-init: done"              # printed after the last one

# Linux starts /init with the console, if there is one, as its standard input and output.
INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
cd /root
echo "{READY}"
if [ -s /etc/commands ]; then
    sh /etc/commands
    echo "{DONE}"
    poweroff -f
fi
while true; do
    setsid cttyhack sh
done
"""


def initramfs(busybox: bytes, commands: Sequence[str] = (), files: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """A cpio archive for Linux. `busybox`: a static x86-64 executable. `commands`: shell lines that run instead of an
    interactive shell; afterwards the machine is switched off. `files`: further (name, contents), executable, in /root.
    """
    archive = Archive()
    for path in DIRECTORIES:
        archive.directory(path)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", busybox, 0o755)
    archive.file("init", INIT.encode(), 0o755)
    archive.file("etc/commands", "".join(f"{line}\n" for line in commands).encode())
    for name, data in files:
        archive.file(f"root/{name}", data, 0o755)
    return archive.data()
