"""Colours of what panels show, on dark and on light ground."""

from __future__ import annotations

from typing import NamedTuple


class Palette(NamedTuple):
    """Rich styles by meaning. `planes`: one for each plane number, used again from the start."""

    dim: str
    address: str
    symbol: str
    mnemonic: str
    changed: str
    here: str
    cursor: str
    good: str
    some: str
    bad: str
    title: str
    planes: tuple[str, ...]

    def plane(self, number: int) -> str:
        """A plane's colour."""
        return self.planes[number % len(self.planes)]


DARK = Palette(dim="#7f8c98", address="#8fa6bf", symbol="#e0b35a", mnemonic="#8fc1ff", changed="bold #ffb454",
               here="bold #10141c on #7fd962", cursor="reverse", good="#7fd962", some="#e6c34a", bad="#ff6b6b",
               title="bold #cfd8e3", planes=("#59c2ff", "#d2a6ff", "#95e6cb", "#ffb454"))
LIGHT = Palette(dim="#6b7480", address="#4a6078", symbol="#8a5a00", mnemonic="#0b4fa8", changed="bold #b34700",
                here="bold #ffffff on #2f7d32", cursor="reverse", good="#2f7d32", some="#8a6d00", bad="#b3261e",
                title="bold #22303f", planes=("#0b6bcb", "#7b2fbf", "#00796b", "#b34700"))
