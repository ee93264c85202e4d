"""The section header table as Multiboot hands it on: sections without an address, such as symbols and strings, are in
memory, too (Multiboot 0.6.96, 3.3, syms; Multiboot2, 3.6.7)."""

from typing import NamedTuple

from emu.load import ram
from emu.load.elf_file import ElfFile
from emu.load.layout import Layout
from emu.load.model import ImageError

_SHT_NULL, _SHT_NOBITS = 0, 8


class SectionTable(NamedTuple):
    """``number`` headers of ``entry`` bytes each; ``names``: the index of the section with their names."""

    number: int
    entry: int
    names: int
    headers: bytes


def put_sections(elf: ElfFile, layout: Layout) -> SectionTable | None:
    """Put what has no address above everything else; the table with those addresses. None where the file has no
    sections, or RAM no room for them."""
    sections = elf.sections()
    if not sections:
        return None
    headers = bytearray(elf.section_table())
    entry = len(headers) // len(sections)
    word = 4 if elf.bits == 32 else 8
    body, places = bytearray(), []
    for section in sections:
        at = section.index * entry + 8 + word          # sh_addr, past sh_name, sh_type and sh_flags
        address = int.from_bytes(headers[at:at + word], "little")
        if address or not section.size or section.type in (_SHT_NULL, _SHT_NOBITS):
            continue
        data = elf.reader.span(section.offset, section.size, f"section header {section.index}: sh_offset")
        body += bytes(-len(body) % 16)
        places.append((at, len(body)))
        body += data
        if len(body) > 2 * len(elf.reader.data):
            raise elf.reader.error("section headers", "the sections overlap so much that they exceed twice the file")
    if body:
        try:
            base = layout.find(len(body), "sections", low=layout.end_below_4g(), high=ram.FOUR_GIB)
        except ImageError:
            return None
        layout.put(base, bytes(body), "sections")
        for at, offset in places:
            headers[at:at + word] = (base + offset).to_bytes(word, "little")
    return SectionTable(len(sections), entry, elf.names_index, bytes(headers))
