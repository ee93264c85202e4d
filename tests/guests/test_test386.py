"""test386.asm: a ROM that checks an 80386 by itself, and prints results that its authors' reference file has.

STRATA_TEST386 names the directory where it was assembled, with OUT_PORT = 0xE9 and ROM128 = 1 in
src/configuration.asm and everything else as it comes (docs/suites.md).
"""

import os
from pathlib import Path

import pytest

from emu.machine import Machine
from tests.guests.test_software import Console

pytestmark = pytest.mark.guests
POST_PORT = 0x190
POST_CODES = bytes.fromhex(
    "00 01 02 03 04 05 06 08 09 20 21 22 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c e0 ee ff")
ROM, REFERENCE = "test386.bin", "test386-EE-reference.txt"
CHECKS = 2_000_000              # instructions until the results are printed, amply


class PostCodes:
    """The diagnostic port."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def port_read(self, port: int, size: int) -> int:
        return 0xFF

    def port_write(self, port: int, size: int, value: int) -> None:
        self.seen.append(value)


def built(name: str) -> Path:
    directory = os.environ.get("STRATA_TEST386")
    if not directory:
        pytest.skip("STRATA_TEST386 is not set: name the directory where test386.asm was assembled (docs/suites.md)")
    path = Path(directory) / name
    if not path.is_file():
        pytest.skip(f"{path} is missing: assemble test386.asm there (docs/suites.md)")
    return path


def started(engine: str) -> tuple[Console, PostCodes, Machine]:
    console, post = Console(engine=engine, memory=16 << 20), PostCodes()
    console.machine.pc.bus.add_ports(POST_PORT, 1, post, "POST codes")
    console.machine.load(None, bios=str(built(ROM)))
    return console, post, console.machine


@pytest.mark.parametrize("engine", ["interp", "auto"])
def test_every_check_passes(engine: str) -> None:
    """It halts at the first that fails."""
    console, post, machine = started(engine)
    stop = machine.run(max_insns=CHECKS)
    assert post.seen == POST_CODES[:-1], stop
    assert stop.reason == "max-insns" and console.reports == []
    assert built(REFERENCE).read_bytes().replace(b"\r", b"").startswith(console.debug.replace(b"\r", b""))


@pytest.mark.slow
def test_the_results_are_those_of_the_reference() -> None:
    console, post, machine = started("auto")
    machine.run(max_insns=200_000_000)
    assert post.seen == POST_CODES
    assert console.debug.replace(b"\r", b"") == built(REFERENCE).read_bytes().replace(b"\r", b"")
