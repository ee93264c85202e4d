"""ELF symbol tables and lookups."""

import pytest

from emu.load.model import Symbol
from emu.load.symbols import SymbolTable
from tests.emu.load.build import elf, patch
from tests.emu.load.help import load, refused

FUNC, OBJECT, NOTYPE, FILE, SECTION = 2, 1, 0, 4, 3


@pytest.mark.parametrize("bits", [32, 64])
def test_symbols_are_sorted_and_only_places_count(bits: int) -> None:
    symbols = [("main", 0x200010, 8, 0x10 | FUNC), ("_start", 0x200000, 4, FUNC), ("file.c", 0, 0, FILE),
               ("data", 0x200020, 4, OBJECT), ("", 0x200000, 0, SECTION), ("label", 0x200008, 0, NOTYPE)]
    image = load("elf", elf(bits, symbols=symbols))
    assert image.symbols == (Symbol(0x200000, 4, "_start"), Symbol(0x200008, 0, "label"), Symbol(0x200010, 8, "main"),
                             Symbol(0x200020, 4, "data"))


def test_lookup() -> None:
    table = SymbolTable([Symbol(0x20, 8, "b"), Symbol(0x10, 4, "a"), Symbol(0x20, 0, "empty"), Symbol(0x30, 0, "a")])
    assert table.named("b") == Symbol(0x20, 8, "b")
    assert table.named("a") == Symbol(0x10, 4, "a")
    assert table.named("c") is None
    assert table.nearest(0xF) is None
    assert table.nearest(0x1F) == (Symbol(0x10, 4, "a"), 0xF)
    assert table.nearest(0x20) == (Symbol(0x20, 8, "b"), 0)


def section_field(data: bytes, section: int, offset: int) -> int:
    return int.from_bytes(data[40:48], "little") + 64 * section + offset


@pytest.mark.parametrize(("section", "offset", "value", "size", "field"), [
    (1, 24, 1 << 63, 8, "sh_offset"), (1, 32, 1 << 40, 8, "sh_offset"), (1, 40, 9, 4, "sh_link"),
    (1, 40, 1, 4, "sh_link"), (1, 56, 23, 8, "sh_entsize"), (2, 32, 1 << 40, 8, "sh_offset"), (2, 32, 2, 8, "st_name"),
    (2, 4, 2, 4, "section headers")])
def test_bad_tables(section: int, offset: int, value: int, size: int, field: str) -> None:
    data = elf(symbols=[("abc", 0x200000, 0, FUNC)])
    refused("elf", patch(data, section_field(data, section, offset), value, size), field)


def test_names_cannot_share_tails_without_bound() -> None:
    """10,000 symbols, each naming a tail of one long string: 50 MB of names out of a 250 kB file."""
    data = elf(symbols=[("x" * 10000, 0x200000, 0, FUNC)] + [("", i, 0, FUNC) for i in range(10000)])
    start = int.from_bytes(data[section_field(data, 1, 24):][:8], "little")
    for i in range(10000):
        data = data if i % 10 else patch(data, start + 24 * (i + 2), 1 + i, 4)
    refused("elf", data, "section header 2", "8 times")
