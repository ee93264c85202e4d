"""What OVMF says about itself in a table before the reset vector, and the SNP launch that its metadata asks for.

Sources: edk2's OvmfPkg, ResetVector/Ia16/ResetVectorVtf0.asm (the table) and ResetVector/X64/OvmfSevMetadata.asm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from emu.load import ram
from emu.load.model import ImageError
from emu.load.reader import Reader
from emu.planes.snp import launch
from emu.planes.snp.initial_vmsa import RESET_RIP, reset_vmsa
from emu.planes.snp.launch import KVM_VMSA_GPA, PAGE, Launch, LaunchPage, PageType

FOOTER = UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
RESET_BLOCK = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")     # where further processors of an SEV-ES guest start
METADATA = UUID("dc886566-984a-4798-a75e-5585a7bf67cc")        # distance of the metadata from the file's end
_AFTER_FOOTER = 32                      # bytes of the reset vector behind the table
_GUID, _LENGTH = 16, 2
_SIGNATURE, _HEADER, _DESCRIPTOR = b"ASEV", 16, 12
_MAX_DESCRIPTORS = 1024


class SectionType(IntEnum):
    """What the pages of a metadata descriptor are for."""

    SEC_MEMORY, SECRETS, CPUID, CALLING_AREA, KERNEL_HASHES = 1, 2, 3, 4, 0x10


_PAGES = {SectionType.SECRETS: PageType.SECRETS, SectionType.CPUID: PageType.CPUID}     # the others are zeros


@dataclass(frozen=True)
class Section:
    """A range of guest memory that must be accepted before the firmware starts."""

    gpa: int
    size: int
    type: SectionType


def table(path: str, rom: bytes) -> dict[UUID, bytes]:
    """The entries of a ROM's GUIDed table; none if it has no such table. ImageError: the table is broken."""
    reader = Reader(path, rom)
    end = len(rom) - _AFTER_FOOTER
    if end < _GUID + _LENGTH or UUID(bytes_le=rom[end - _GUID:end]) != FOOTER:
        return {}
    start = end - reader.uint(end - _GUID - _LENGTH, _LENGTH, "GUIDed table")
    end -= _GUID + _LENGTH
    if start < 0 or start > end:
        raise reader.error("GUIDed table", f"its length, {end + _GUID + _LENGTH - start:#x}, cannot be")
    entries: dict[UUID, bytes] = {}
    while end - start >= _GUID + _LENGTH:
        name = UUID(bytes_le=rom[end - _GUID:end])
        size = reader.uint(end - _GUID - _LENGTH, _LENGTH, f"GUIDed table: {name}")
        if size < _GUID + _LENGTH or end - size < start:
            raise reader.error(f"GUIDed table: {name}", f"its length, {size:#x}, does not fit the table")
        entries[name] = rom[end - size:end - _GUID - _LENGTH]
        end -= size
    return entries


def sections(path: str, rom: bytes) -> tuple[Section, ...] | None:
    """The SNP metadata's descriptors; None if the ROM has none. ImageError: they break a rule."""
    entry = table(path, rom).get(METADATA)
    if entry is None:
        return None
    reader = Reader(path, rom)
    if len(entry) != 4:
        raise reader.error("SEV metadata offset", f"has {len(entry)} bytes, must have 4")
    at = len(rom) - int.from_bytes(entry, "little")
    if at < 0 or bytes(reader.span(at, 4, "SEV metadata")) != _SIGNATURE:
        raise reader.error("SEV metadata", "does not begin with ASEV")
    length, version, count = (reader.uint(at + n, 4, "SEV metadata") for n in (4, 8, 12))
    if version != 1:
        raise reader.error("SEV metadata: version", f"is {version}, known is 1")
    if count > _MAX_DESCRIPTORS or length < _HEADER + _DESCRIPTOR * count:
        raise reader.error("SEV metadata: length", f"is {length}, too little for {count} descriptors")
    return tuple(_section(reader, n, at + _HEADER + _DESCRIPTOR * n) for n in range(count))


def _section(reader: Reader, number: int, at: int) -> Section:
    field = f"SEV metadata: descriptor {number}"
    gpa, size, kind = (reader.uint(at + n, 4, field) for n in (0, 4, 8))
    if kind not in tuple(SectionType):
        raise reader.error(f"{field}: type", f"is {kind:#x}, known are {', '.join(f'{n:#x}' for n in SectionType)}")
    if gpa % PAGE or size % PAGE or not size or gpa + size > ram.FOUR_GIB:
        raise reader.error(field, f"{size:#x} bytes at {gpa:#x} are not whole pages below 4 GiB")
    return Section(gpa, size, SectionType(kind))


def ap_start(path: str, rom: bytes) -> int:
    """Where further processors start: the linear address in the table, or the reset vector."""
    entry = table(path, rom).get(RESET_BLOCK, b"")
    return int.from_bytes(entry[:4], "little") if len(entry) >= 4 else RESET_RIP


def snp_launch(path: str, rom: bytes, *, memory: int, vcpus: int, signature: int, features: int) -> Launch:
    """The launch of a ROM that ends at 4 GiB, in QEMU's order: the ROM, the metadata's pages, a VMSA for each vCPU.

    `memory`: bytes of RAM. `signature`: EAX of CPUID function 1. `features`: SEV_FEATURES. ImageError: the ROM has no
    metadata, or it asks for pages that are not RAM or overlap.
    """
    found = sections(path, rom)
    if found is None:
        raise ImageError(path, "SEV metadata", "this firmware has none, so it cannot start as an SNP guest")
    pages = launch.split(ram.FOUR_GIB - len(rom), rom, PageType.NORMAL)
    taken: set[int] = set()
    for number, section in enumerate(found):
        where = f"SEV metadata: descriptor {number}"
        if not any(part.base <= section.gpa and section.gpa + section.size <= part.end
                   for part in ram.loadable(memory)):
            raise ImageError(path, where, f"{section.size:#x} bytes at {section.gpa:#x} are not RAM")
        added = launch.zeros(section.gpa, section.size, _PAGES.get(section.type, PageType.ZERO))
        if taken & {page.gpa for page in added}:
            raise ImageError(path, where, f"{section.size:#x} bytes at {section.gpa:#x} overlap another one's")
        taken |= {page.gpa for page in added}
        pages += added
    for vcpu in range(vcpus):
        vmsa = reset_vmsa(signature, features, ap_start(path, rom) if vcpu else RESET_RIP)
        pages.append(LaunchPage(KVM_VMSA_GPA, PageType.VMSA, vmsa, vcpu=vcpu))
    return Launch(tuple(pages))
