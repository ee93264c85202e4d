"""Real compiler output: the benchmark programs print the same in both engines as natively."""
import shutil
import subprocess
from pathlib import Path

import pytest

from emu.machine import Machine

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
NAMES = ("sort", "hash", "matrix", "json", "regex", "mix")
PROGRAMS = [f"{name}_{level}" for name in NAMES for level in ("O0", "O2", "v3")]
PASS = 1


def sections(text: str) -> dict[str, str]:
    """Output by program, from text with a `== program` line before each."""
    parts = text.split("== ")[1:]
    return {name: output for name, _, output in (part.partition("\n") for part in parts)}


EXPECTED = sections((FIRMWARE / "programs" / "expected.txt").read_text(encoding="ascii"))


@pytest.mark.parametrize("engine", ["interp", "auto"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_output_is_the_native_one(program: str, engine: str) -> None:
    output, reported = bytearray(), []
    machine = Machine(memory=64 << 20, vcpus=1, engine=engine, serial_out=output.extend, debug_out=lambda data: None,
                      report=reported.append)
    machine.load(str(FIRMWARE / "build" / "programs" / f"{program}.elf"))
    stop = machine.run()
    assert (stop.reason, stop.status) == ("exit", PASS)
    assert output.decode() == EXPECTED[program]
    assert reported == []


def test_every_program_is_tested() -> None:
    assert sorted(path.stem for path in (FIRMWARE / "build" / "programs").iterdir()) == sorted(PROGRAMS)
    assert sorted(EXPECTED) == sorted(PROGRAMS)


def test_this_machine_prints_what_is_expected(tmp_path: Path) -> None:
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("gcc or make not found: apt-get install gcc make")
    if not {"avx2", "fma", "bmi2"} <= set(Path("/proc/cpuinfo").read_text(encoding="ascii").split()):
        pytest.skip("the host CPU is not x86-64-v3, which a third of the programs need")
    done = subprocess.run(["make", "-s", "-C", str(FIRMWARE), f"OBJ={tmp_path}", "native"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sections(done.stdout) == EXPECTED
