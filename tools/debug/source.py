"""Source lines of addresses, from an ELF file's DWARF line tables (DWARF 5, 6.2). Files without any have none.

pyelftools reads them, on a thread of its own: a kernel's take minutes. What is damaged is left out.
"""

from __future__ import annotations

import io
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

from emu import Machine

MAX_FILE = 1 << 29          # bytes of an image that is looked into
MAX_SOURCE = 1 << 24        # ... and of a source file that is shown
MAX_ENTRIES = 1 << 22       # line table entries that are kept


class Place(NamedTuple):
    """A line of a source file, numbered from 1; `text` is empty where the file cannot be read."""

    file: str
    line: int
    text: str


class Source:
    """The lines of a machine's image."""

    def __init__(self, machine: Machine) -> None:
        self._image = machine.image.path if machine.image is not None else ""
        self._addresses: list[int] = []
        self._entries: list[tuple[str, int]] = []       # ("", 0): no line from here on
        self._texts: dict[str, list[str]] = {}
        self._thread = threading.Thread(target=self._load, name="strata-dwarf", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Give the reading thread so much time to come to its end."""
        self._thread.join(seconds)

    @property
    def known(self) -> bool:
        """Whether the image has lines."""
        return bool(self._addresses)

    def at(self, address: int) -> Place | None:
        """The line that an instruction belongs to."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0 or not self._entries[at][1]:
            return None
        file, line = self._entries[at]
        lines = self._lines(file)
        return Place(file, line, lines[line - 1].strip() if line <= len(lines) else "")

    def _lines(self, file: str) -> list[str]:
        if file not in self._texts:
            self._texts[file] = self._read(file)
        return self._texts[file]

    def _read(self, file: str) -> list[str]:
        """A source file, as the compiler named it, or else below the image's directory or one above that."""
        above = os.path.dirname(os.path.abspath(self._image))
        for _ in range(4):
            path = file if os.path.isabs(file) else os.path.join(above, file)
            try:
                if os.path.getsize(path) <= MAX_SOURCE:
                    with open(path, encoding="utf-8", errors="replace") as text:
                        return text.read().splitlines()
            except OSError:
                pass
            above = os.path.dirname(above)
        return []

    def _load(self) -> None:
        try:
            found = sorted(self._entries_of(self._image))
        except Exception:           # pyelftools raises whatever a damaged file makes it meet
            return
        entries = [(file, line) for _, file, line in found]
        self._entries, self._addresses = entries, [address for address, _, _ in found]

    def _entries_of(self, path: str) -> Iterator[tuple[int, str, int]]:
        from elftools.elf.elffile import ELFFile
        if not path or os.path.getsize(path) > MAX_FILE:
            return
        with open(path, "rb") as file:
            data = file.read()
        if not data.startswith(b"\x7fELF"):
            return
        elf = ELFFile(io.BytesIO(data))
        if not elf.has_dwarf_info():
            return
        dwarf, count = elf.get_dwarf_info(), 0
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            top = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
            base = os.fsdecode(top.value) if top is not None else ""
            kept: bool | None = None        # of the sequence; linkers move those of discarded functions to 0
            for state in (entry.state for entry in program.get_entries()):
                if state is None:
                    continue
                kept = state.address != 0 if kept is None else kept
                count += 1
                if count > MAX_ENTRIES:
                    return
                if kept and state.end_sequence:
                    yield state.address, "", 0
                elif kept:
                    yield state.address, _name(program.header, state.file, base), state.line
                kept = None if state.end_sequence else kept


def _name(header: Any, number: int, base: str) -> str:
    """The path of a line program's file; versions before 5 count files and directories from 1 (DWARF 5, 6.2.4)."""
    first = 0 if header["version"] >= 5 else 1
    files, folders = header["file_entry"], header["include_directory"]
    entry = files[number - first]
    folder = os.fsdecode(folders[entry.dir_index - first]) if entry.dir_index >= first else ""
    return os.path.normpath(os.path.join(base, folder, os.fsdecode(entry.name)))
