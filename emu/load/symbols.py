"""Names of addresses, from an ELF file's symbol table (gABI chapter 4, Symbol Table), and lookups in them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from emu.load.elf_file import ElfFile
from emu.load.model import Symbol
from emu.load.reader import Reader

_SHT_SYMTAB, _SHT_STRTAB = 2, 3
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC = 0, 1, 2
_SHN_UNDEF, _SHN_ABS = 0, 0xFFF1


class SymbolTable:
    """Symbols to look up by name or by address."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._sorted = sorted(symbols)
        self._addresses = [s.address for s in self._sorted]
        self._by_name: dict[str, Symbol] = {}
        for symbol in self._sorted:
            self._by_name.setdefault(symbol.name, symbol)
        self._names: list[str] | None = None        # in order, once they are asked for

    def __len__(self) -> int:
        return len(self._sorted)

    def named(self, name: str) -> Symbol | None:
        """The symbol called ``name``; of several (static functions may share one), the one with the lowest address."""
        return self._by_name.get(name)

    def names(self, start: str) -> list[str]:
        """The names that begin so, in order."""
        if self._names is None:
            self._names = sorted(self._by_name)
        first = bisect_left(self._names, start)
        return self._names[first:bisect_left(self._names, start + chr(0x10FFFF), first)]

    def nearest(self, address: int) -> tuple[Symbol, int] | None:
        """The last symbol at or before ``address`` and the distance from it in bytes; None before the first.

        Of several at one address it is the largest: a function, not the empty label in front of it.
        """
        at = bisect_right(self._addresses, address)
        if at == 0:
            return None
        symbol = self._sorted[at - 1]
        return symbol, address - symbol.address


def elf_symbols(elf: ElfFile, shift: int = 0) -> tuple[Symbol, ...]:
    """The functions, objects and untyped labels that ``elf`` defines, ascending, ``shift`` added to each address."""
    sections = elf.sections()
    tables = [s for s in sections if s.type == _SHT_SYMTAB]
    if len(tables) > 1:
        raise elf.reader.error("section headers", f"{len(tables)} symbol tables, the gABI allows one")
    found: set[Symbol] = set()
    for section in tables:
        where = f"section header {section.index}"
        entry = 16 if elf.bits == 32 else 24
        if section.entsize != entry:
            raise elf.reader.error(f"{where}: sh_entsize", f"is {section.entsize}, must be {entry} for a symbol table")
        if section.link >= len(sections) or sections[section.link].type != _SHT_STRTAB:
            raise elf.reader.error(f"{where}: sh_link", f"{section.link} is not the index of a string table")
        table = elf.reader.span(section.offset, section.size, f"{where}: sh_offset")
        strings = sections[section.link]
        names = _Names(elf.reader, strings.offset, strings.size, f"section header {strings.index}")
        fields = Reader(elf.reader.path, bytes(table))
        for at in range(0, section.size - entry + 1, entry):
            symbol = _symbol(fields, at, elf.bits, names, shift)
            if symbol is not None:
                found.add(symbol)
    return tuple(sorted(found))


def _symbol(fields: Reader, at: int, bits: int, names: "_Names", shift: int) -> Symbol | None:
    name_at = fields.uint(at, 4, "st_name")
    if bits == 32:
        value, size = fields.uint(at + 4, 4, "st_value"), fields.uint(at + 8, 4, "st_size")
        info, index = fields.uint(at + 12, 1, "st_info"), fields.uint(at + 14, 2, "st_shndx")
    else:
        info, index = fields.uint(at + 4, 1, "st_info"), fields.uint(at + 6, 2, "st_shndx")
        value, size = fields.uint(at + 8, 8, "st_value"), fields.uint(at + 16, 8, "st_size")
    kind = info & 0xF
    # An untyped absolute symbol is a constant of the assembler's (`.set`), not a place.
    constant = index == _SHN_ABS and kind == _STT_NOTYPE
    if kind not in (_STT_NOTYPE, _STT_OBJECT, _STT_FUNC) or index == _SHN_UNDEF or constant or name_at == 0:
        return None
    return Symbol((value + shift) % (1 << bits), size, names.at(name_at))


class _Names:
    """A string table. Every string is read once; strings may share tails, but not without bound."""

    def __init__(self, reader: Reader, offset: int, size: int, where: str) -> None:
        self._bytes = bytes(reader.span(offset, size, f"{where}: sh_offset"))
        self._reader = reader
        self._where = where
        self._known: dict[int, str] = {}
        self._budget = 8 * size  # bytes of names: linkers share tails, only an attack shares this much

    def at(self, offset: int) -> str:
        if offset not in self._known:
            end = self._bytes.find(b"\0", offset)
            if offset >= len(self._bytes) or end < 0:
                raise self._reader.error(f"{self._where}: st_name", f"{offset:#x} does not start a string in the table")
            self._budget -= end - offset
            if self._budget < 0:
                raise self._reader.error(self._where, "the names overlap so much that they exceed 8 times the table")
            self._known[offset] = self._bytes[offset:end].decode("utf-8", "backslashreplace")
        return self._known[offset]
