"""An ELF file's headers, checked against the System V gABI (chapters 4 and 5) and the i386 and AMD64 psABI.

Only what a loader needs: the segments to put into memory, the entry point, the sections for symbols. The loaders in
elf.py, multiboot.py, multiboot2.py and pvh.py decide what to do with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from emu.load.layout import Layout
from emu.load.reader import Reader

MAGIC = b"\x7fELF"
ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
_PF_X = 1
_SHN_XINDEX = 0xFFFF    # the index is in sh_link of section header 0 (gABI chapter 4, e_shstrndx)
_EM = {32: 3, 64: 62}  # EM_386, EM_X86_64
_EM_NAME = {32: "EM_386", 64: "EM_X86_64"}


@dataclass(frozen=True)
class ProgramHeader:
    """One entry of the program header table; ``index`` names it in errors."""

    index: int
    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    def field(self, name: str) -> str:
        """How an error calls field ``name`` of this entry."""
        return f"program header {self.index}: {name}"


@dataclass(frozen=True)
class SectionHeader:
    """One entry of the section header table."""

    index: int
    type: int
    offset: int
    size: int
    link: int
    entsize: int


class ElfFile:
    """A checked ELF executable for x86. ``bits`` is 32 or 64. Raises ImageError on construction if it is not one."""

    def __init__(self, path: str, data: bytes) -> None:
        self.reader = Reader(path, data)
        self._check_ident()
        word = self._word = 4 if self.bits == 32 else 8
        read = self.reader.uint
        self.type = read(16, 2, "e_type")
        machine = read(18, 2, "e_machine")
        version = read(20, 4, "e_version")
        self.entry = read(24, word, "e_entry")
        self._phoff = read(24 + word, word, "e_phoff")
        self._shoff = read(24 + 2 * word, word, "e_shoff")
        after = 24 + 3 * word + 4  # past e_flags
        ehsize, phentsize, phnum, shentsize, self._shnum, self._shstrndx = (
            read(after + 2 * i, 2, name) for i, name in
            enumerate(("e_ehsize", "e_phentsize", "e_phnum", "e_shentsize", "e_shnum", "e_shstrndx")))
        self._require(version == 1, "e_version", f"is {version}, must be 1 (EV_CURRENT)")
        self._require(machine == _EM[self.bits], "e_machine",
                      f"is {machine}, must be {_EM[self.bits]} ({_EM_NAME[self.bits]}) in a {self.bits}-bit file")
        self._require(self.type in (ET_EXEC, ET_DYN), "e_type", f"is {self.type}, must be ET_EXEC or ET_DYN")
        header, entry, self._shentsize = (52, 32, 40) if self.bits == 32 else (64, 56, 64)
        self._require(ehsize == header, "e_ehsize", f"is {ehsize}, must be {header}")
        self._require(phnum > 0, "e_phnum", "is 0: there is nothing to load")
        self._require(phnum != 0xFFFF, "e_phnum", "is PN_XNUM: more than 65,534 program headers are not accepted")
        self._require(phentsize == entry, "e_phentsize", f"is {phentsize}, must be {entry}")
        self.reader.span(self._phoff, phnum * phentsize, "e_phoff")
        self._require(self._shoff == 0 or shentsize == self._shentsize, "e_shentsize",
                      f"is {shentsize}, must be {self._shentsize}")
        self.headers = tuple(self._program_header(i, self._phoff + i * phentsize) for i in range(phnum))
        self.loads = tuple(h for h in self.headers if h.type == PT_LOAD and h.memsz)
        self._check_loads()

    def _require(self, holds: bool, field: str, rule: str) -> None:
        if not holds:
            raise self.reader.error(field, rule)

    def _check_ident(self) -> None:
        ident = bytes(self.reader.span(0, 16, "e_ident"))
        self._require(ident[:4] == MAGIC, "e_ident", "does not start with the ELF magic number")
        self._require(ident[4] in (1, 2), "e_ident[EI_CLASS]", f"is {ident[4]}, must be 1 (32-bit) or 2 (64-bit)")
        self._require(ident[5] == 1, "e_ident[EI_DATA]", f"is {ident[5]}, must be 1 (little-endian)")
        self._require(ident[6] == 1, "e_ident[EI_VERSION]", f"is {ident[6]}, must be 1 (EV_CURRENT)")
        self.bits = 32 if ident[4] == 1 else 64

    def _program_header(self, index: int, at: int) -> ProgramHeader:
        # The 64-bit entry moves p_flags up to second place (gABI figure 5-1).
        order = (("type", 4), ("offset", 4), ("vaddr", 4), ("paddr", 4), ("filesz", 4), ("memsz", 4), ("flags", 4),
                 ("align", 4)) if self.bits == 32 else \
                (("type", 4), ("flags", 4), ("offset", 8), ("vaddr", 8), ("paddr", 8), ("filesz", 8), ("memsz", 8),
                 ("align", 8))
        values = {}
        for name, size in order:
            values[name] = self.reader.uint(at, size, f"program header {index}: p_{name}")
            at += size
        return ProgramHeader(index=index, **values)

    def _check_loads(self) -> None:
        self._require(bool(self.loads), "program headers", "no PT_LOAD segment: there is nothing to load")
        top = 1 << self.bits
        for h in self.headers:
            if h.type == PT_LOAD:
                self._require(h.filesz <= h.memsz, h.field("p_filesz"),
                              f"is {h.filesz:#x}, more than p_memsz {h.memsz:#x}")
                self._require(h.align & (h.align - 1) == 0, h.field("p_align"), f"is {h.align:#x}, not a power of two")
                self._require(h.align <= 1 or (h.vaddr - h.offset) % h.align == 0, h.field("p_vaddr"),
                              f"{h.vaddr:#x} and p_offset {h.offset:#x} differ modulo p_align {h.align:#x}")
                self._require(max(h.vaddr, h.paddr) + h.memsz <= top, h.field("p_memsz"),
                              f"{h.memsz:#x} runs past the end of the {self.bits}-bit address space")
                self.reader.span(h.offset, h.filesz, h.field("p_offset"))
        # Bounds what loading can allocate and read: without it every header could name the whole file.
        for kind, name in ((PT_LOAD, "PT_LOAD"), (PT_DYNAMIC, "PT_DYNAMIC"), (PT_NOTE, "PT_NOTE")):
            total = sum(h.filesz for h in self.headers if h.type == kind)
            self._require(total <= len(self.reader.data), "program headers",
                          f"{name} takes {total:#x} bytes of a file of {len(self.reader.data):#x}")

    def put_segments(self, layout: Layout, shift: int = 0) -> None:
        """Put every PT_LOAD segment at its physical address plus ``shift``."""
        for h in self.loads:
            layout.put(h.paddr + shift, self.reader.span(h.offset, h.filesz, h.field("p_offset")),
                       h.field("p_paddr"), h.memsz)

    def physical_entry(self) -> int:
        """The physical address of e_entry, which may be virtual or physical in kernels linked for high addresses."""
        executable = [h for h in self.loads if h.flags & _PF_X]
        for h in executable:
            if h.vaddr <= self.entry < h.vaddr + h.memsz:
                return self.entry - h.vaddr + h.paddr
        for h in executable:
            if h.paddr <= self.entry < h.paddr + h.memsz:
                return self.entry
        raise self.reader.error("e_entry", f"{self.entry:#x} is in no executable PT_LOAD segment")

    def sections(self) -> tuple[SectionHeader, ...]:
        """The section header table; empty if the file has none."""
        if self._shoff == 0:
            return ()
        count = self._shnum or self._section(0).size  # extended numbering, gABI chapter 4, e_shnum
        self.reader.span(self._shoff, count * self._shentsize, "e_shoff")
        return tuple(self._section(i) for i in range(count))

    @property
    def names_index(self) -> int:
        """The index of the section that has the sections' names."""
        return self._section(0).link if self._shstrndx == _SHN_XINDEX else self._shstrndx

    def section_table(self) -> bytes:
        """The section header table as it is in the file."""
        return bytes(self.reader.span(self._shoff, len(self.sections()) * self._shentsize, "e_shoff"))

    def _section(self, index: int) -> SectionHeader:
        word, at, name = self._word, self._shoff + index * self._shentsize, f"section header {index}"
        read = self.reader.uint
        rest = at + 8 + 4 * word  # past sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size
        return SectionHeader(index, read(at + 4, 4, name), read(at + 8 + 2 * word, word, name),
                             read(at + 8 + 3 * word, word, name), read(rest, 4, name),
                             read(rest + 8 + word, word, name))

    def notes(self) -> Iterator[tuple[bytes, int, memoryview]]:
        """(name, type, descriptor) of every note in the PT_NOTE segments (gABI chapter 5, Note Section)."""
        for h in self.headers:
            if h.type != PT_NOTE:
                continue
            self.reader.span(h.offset, h.filesz, h.field("p_offset"))
            at, end = h.offset, h.offset + h.filesz
            # GNU tools pad to 8 only where p_align says 8; Xen's notes use 4, as does every 32-bit file.
            align = 8 if h.align == 8 else 4
            while at + 12 <= end:
                namesz, descsz, kind = (self.reader.uint(at + 4 * i, 4, h.field("note")) for i in range(3))
                name = self.reader.span(at + 12, namesz, h.field("note name"))
                start = (at + 12 + namesz - h.offset + align - 1) // align * align + h.offset
                desc = self.reader.span(start, descsz, h.field("note descriptor"))
                yield bytes(name[:64]).rstrip(b"\0"), kind, desc
                at = (start + descsz - h.offset + align - 1) // align * align + h.offset
