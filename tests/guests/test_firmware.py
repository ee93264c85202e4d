"""Every guest of firmware/build passes its own checks in every engine mode."""

from pathlib import Path

import pytest

from emu.machine import ENGINES, Machine

BUILD = Path(__file__).resolve().parents[2] / "firmware" / "build"
NEEDS_PLANES = {"vsm_call"}                     # skips itself without them
LONG = {"integer"}                              # 400 M instructions: not once more with everything compiled
PASS, SECONDS = 1, 60                           # (0 << 1) | 1 written to port 0xf4

CASES = [(guest.stem, engine) for guest in sorted(BUILD.glob("*.elf")) for engine in ENGINES
         if guest.stem not in NEEDS_PLANES and not (guest.stem in LONG and engine == "blocks")]


@pytest.mark.parametrize("guest, engine", CASES)
def test_guest_passes(guest: str, engine: str) -> None:
    console: list[bytes] = []
    machine = Machine(engine=engine, serial_out=console.append)
    machine.load(str(BUILD / f"{guest}.elf"))
    stop = machine.run(timeout=SECONDS)
    text = b"".join(console).decode("ascii", "replace")
    assert (stop.reason, stop.status) == ("exit", PASS), f"{stop.message}\n{text}"
    assert ", 0 failed" in text


def test_there_are_guests() -> None:
    assert len({guest for guest, _ in CASES}) > 10
