"""The committed guests are what their sources give, and a test of one's own builds with one line."""

import filecmp
import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"


def _require_toolchain() -> None:
    missing = [tool for tool in ("make", "gcc", "ld", "objcopy", "ar") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt-get install make gcc binutils")


def _make(*arguments: str) -> None:
    done = subprocess.run(["make", "-s", "-C", str(FIRMWARE), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rebuild_equals_committed_files(tmp_path: Path) -> None:
    _require_toolchain()
    version = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("12."):
        pytest.skip(f"gcc {version.strip()}: the committed files are gcc 12's (Debian 12: apt-get install gcc-12)")
    _make(f"OUT={tmp_path}/out", f"OBJ={tmp_path}/obj", "all")
    committed = sorted(path.name for path in (FIRMWARE / "build").glob("*.elf"))
    rebuilt = sorted(path.name for path in (tmp_path / "out").glob("*.elf"))
    assert committed == rebuilt
    differ = [name for name in committed if not filecmp.cmp(FIRMWARE / "build" / name, tmp_path / "out" / name, False)]
    assert differ == []


@pytest.mark.parametrize("mode", ["64", "32", "16", "p16"])
def test_own_test_builds_with_one_line(tmp_path: Path, mode: str) -> None:
    _require_toolchain()
    source = tmp_path / "mine.c"
    source.write_text('#include "sdk.h"\nint main(void) { CHECK(1, "one"); return check_report("mine"); }\n')
    _make(f"MY={source}", f"MODE={mode}", f"OBJ={tmp_path}/obj", f"MYOUT={tmp_path}")
    image = (tmp_path / "mine.elf").read_bytes()
    assert image[:5] == b"\x7fELF\x01"  # ELFCLASS32: what multiboot 1 loaders take
    assert b"\x02\xb0\xad\x1b" in image[:8192]  # the multiboot magic in the first 8 KiB


def test_missing_source_is_one_line(tmp_path: Path) -> None:
    _require_toolchain()
    done = subprocess.run(
        ["make", "-s", "-C", str(FIRMWARE), f"MY={tmp_path}/absent.c"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "no such file" in done.stderr
