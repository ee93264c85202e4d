"""Where the captures are, and what their records say about an instruction."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Capture = dict[str, Any]

FILE = "real-mode-80286.jsonl.gz"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
MISSING = (f"{FILE} is neither in $STRATA_CAPTURES nor in ../shared/data beside the repository; docs/develop.md says "
           "how it is made from the SingleStepTests 80286 set, version 1.0.0 (github.com/SingleStepTests/80286)")
PREFIXES = (0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3)
LOCK = 0xF0
SHIFT_MASK = 31


def find() -> Path | None:
    """The file of captures, or None."""
    given = os.environ.get("STRATA_CAPTURES")
    directories = [Path(given), BESIDE] if given else [BESIDE]
    return next((path for path in (directory / FILE for directory in directories) if path.is_file()), None)


def read(path: Path) -> Iterator[Capture]:
    """The captures, in the order of the file."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            yield json.loads(line)


def code(capture: Capture) -> bytes:
    """The instruction's bytes, without the HLT that follows it."""
    return bytes.fromhex(capture["bytes"])[:-1]


def locked(capture: Capture) -> bool:
    """Whether the instruction has a LOCK prefix."""
    data = code(capture)
    return LOCK in data[:_opcode_at(data)]


def _opcode_at(data: bytes) -> int:
    return next(at for at, byte in enumerate(data) if byte not in PREFIXES)


def modrm(capture: Capture) -> int:
    """The byte after the opcode: ModRM, where the instruction has one."""
    data = code(capture)
    return data[_opcode_at(data) + 1]


def shift_count(capture: Capture) -> int:
    """Count of a shift or rotate (C0, C1, D0 to D3), as masked to 5 bits."""
    group = capture["file"][:2]
    if group in ("D0", "D1"):
        return 1
    if group in ("D2", "D3"):
        return int(capture["regs"]["cx"]) & SHIFT_MASK
    return code(capture)[-1] & SHIFT_MASK
