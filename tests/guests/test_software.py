"""Software that nobody here wrote, unmodified, from Debian's packages (`strata fetch NAME`)."""

import re
from pathlib import Path

import pytest

from emu.machine import Machine
from tools.fetch import find

pytestmark = pytest.mark.guests
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Console:
    """A machine and what its guest wrote to COM1 and the debug ports."""

    def __init__(self, **options) -> None:
        self.serial, self.debug, self.reports = bytearray(), bytearray(), []
        self.machine = Machine(serial_out=self.serial.extend, debug_out=self.debug.extend, report=self.reports.append,
                               **options)


def fetched(name: str) -> str:
    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not in the cache: run `strata fetch {name}`")
    return str(Path(path))


@pytest.mark.parametrize("engine", ["interp", "auto"])
def test_seabios_runs_post_to_no_bootable_device(engine):
    console = Console(engine=engine)
    console.machine.load(None, bios=fetched("seabios"))
    stop = console.machine.run(max_insns=20_000_000)
    assert b"SeaBIOS (version" in console.debug
    assert b"No bootable device." in console.debug, console.debug[-2000:]
    assert stop.reason in ("reset", "max-insns")
    assert console.reports == []
    assert console.machine.icount < 20_000_000


def test_seabios_is_deterministic():
    def run():
        console = Console()
        console.machine.load(None, bios=fetched("seabios"))
        stop = console.machine.run(max_insns=6_000_000)
        plane = console.machine.vcpus[0].plane
        return stop.rip, plane.rflags, [plane.get(8 * n) for n in range(16)], bytes(console.debug)
    assert run() == run()


@pytest.mark.slow
def test_memtest86_completes_a_pass_over_64_mib_without_errors():
    """Over 300 G instructions, most of them waiting for memory to fade: ten to twenty minutes."""
    console = Console(memory=64 << 20)
    console.machine.load(fetched("memtest86+"), append="console=ttyS0,115200")
    screen = b""
    for _ in range(2000):
        stop = console.machine.run(max_insns=1_000_000_000)
        assert stop.reason == "max-insns", stop
        screen = ESCAPE.sub(b" ", bytes(console.serial[-20_000:]))
        if re.search(rb"Pass:\s+[1-9]", screen):
            break
    passes = re.findall(rb"Pass:\s+(\d+)\s+Errors:\s+(\d+)", screen)
    assert passes and passes[-1] == (b"1", b"0"), passes[-3:]
    assert console.reports == []
