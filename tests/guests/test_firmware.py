"""Every guest of firmware/build passes its own checks in every engine mode."""

import pytest

from emu.machine import ENGINES, Machine
from jit import layout
from tests.firmware.plane_guests import BUILD, PLANE_GUESTS

NEEDS_MORE = {"smp"} | PLANE_GUESTS              # several vCPUs, or planes
LONG = {"integer"}                              # 400 M instructions: not once more with everything compiled
PASS, SECONDS = 1, 300                          # (0 << 1) | 1 written to port 0xf4

CASES = [(guest.stem, engine) for guest in sorted(BUILD.glob("*.elf")) for engine in ENGINES
         if guest.stem not in NEEDS_MORE and not (guest.stem in LONG and engine == "blocks")]


@pytest.mark.parametrize("guest, engine", CASES)
def test_guest_passes(guest: str, engine: str) -> None:
    console: list[bytes] = []
    machine = Machine(engine=engine, serial_out=console.append)
    machine.load(str(BUILD / f"{guest}.elf"))
    stop = machine.run(timeout=SECONDS)
    text = b"".join(console).decode("ascii", "replace")
    assert (stop.reason, stop.status) == ("exit", PASS), f"{stop.message}\n{text}"
    assert ", 0 failed" in text


@pytest.mark.parametrize("engine, vcpus, quantum", [("interp", 2, 37), ("auto", 4, 10_000), ("blocks", 3, 1000),
                                                    ("auto", 8, 300_001)])
def test_several_processors(engine: str, vcpus: int, quantum: int) -> None:
    console: list[bytes] = []
    machine = Machine(engine=engine, vcpus=vcpus, quantum=quantum, serial_out=console.append)
    machine.load(str(BUILD / "smp.elf"))
    stop = machine.run(timeout=SECONDS)
    text = b"".join(console).decode("ascii", "replace")
    assert (stop.reason, stop.status) == ("exit", PASS), f"{stop.message}\n{text}"
    assert ", 0 failed" in text


def test_where_a_run_of_several_processors_is_interrupted_does_not_matter() -> None:
    def run(pieces: list[int]) -> tuple[int, list[int]]:
        machine = Machine(engine="interp", vcpus=3, quantum=777)
        machine.load(str(BUILD / "smp.elf"))
        for piece in pieces:
            assert machine.run(max_insns=piece).reason == "max-insns"
        return machine.icount, [vcpu.plane.get(layout.RIP) for vcpu in machine.vcpus]
    assert run([300_000]) == run([1, 99_999, 123_456, 76_544])


def test_there_are_guests() -> None:
    assert len({guest for guest, _ in CASES}) > 10
