"""What a guest's serial port shows on a terminal: lines, with the few control codes that consoles and shells use
(ECMA-48 8.3). Colours and cursor addressing are left out."""

from __future__ import annotations

import re

KEPT = 5000             # lines
COLUMNS = 1000          # of the longest
CONTROL = re.compile(r"\x1b\[([0-9;?]*)([ -/]*)([@-~])|\x1b[()][0-9A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
                     r"|\x1b[^\[\]()]")
PARTIAL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*|\][^\x07\x1b]*|[()]?)$")


class Terminal:
    """Takes bytes, has `lines`; the cursor is in the last of them, at `column`."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.column = 0
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Bytes from the guest."""
        text = self._rest + data.decode("latin-1")
        self._rest = ""
        partial = PARTIAL.search(text)
        if partial is not None and len(text) - partial.start() < 64:
            text, self._rest = text[:partial.start()], partial.group()
        at = 0
        while at < len(text):
            found = CONTROL.match(text, at)
            if found is not None:
                self._control(found.group(1) or "", found.group(3) or "")
                at = found.end()
                continue
            self._character(text[at])
            at += 1
        del self.lines[:-KEPT]

    def _character(self, character: str) -> None:
        if character == "\n":
            self.lines.append("")
            self.column = 0
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self._put(" " * (8 - self.column % 8))
        elif character >= " " and character != "\x7f":
            self._put(character)

    def _put(self, text: str) -> None:
        line = self.lines[-1].ljust(self.column)
        if len(line) < COLUMNS:
            self.lines[-1] = line[:self.column] + text + line[self.column + len(text):]
            self.column += len(text)

    def _control(self, parameters: str, final: str) -> None:
        first = parameters.split(";")[0]
        count = int(first) if first.isdecimal() and len(first) < 5 else 0
        if final == "K":            # EL, erase in line: to its end, or all of it
            self.lines[-1] = self.lines[-1][:self.column] if count == 0 else ""
        elif final == "D":          # CUB, cursor left
            self.column = max(0, self.column - max(1, count))
        elif final == "C":          # CUF, cursor right
            self.column = min(COLUMNS, self.column + max(1, count))
        elif final == "G":          # CHA, cursor to a column
            self.column = min(COLUMNS, max(0, count - 1))
        elif final == "P":          # DCH, delete characters
            line = self.lines[-1]
            self.lines[-1] = line[:self.column] + line[self.column + max(1, count):]
        elif final == "J" and count >= 2:       # ED, erase the display
            self.lines.append("")
            self.column = 0
