"""How any image becomes an SNP launch: an IGVM file says it itself, OVMF in its metadata, all others start directly.

Directly means: every page that the loader fills is a normal page, and the loader's state is the first vCPU's VMSA at
VMPL0. Pages that the image has symbols for are special: `snp_secrets_page`, `snp_cpuid_page`, and `snp_memory_map`,
which gets a list of the RAM and is not measured.
"""

from __future__ import annotations

from dataclasses import replace

from emu.load import ovmf, ram
from emu.load.model import Image, ImageError
from emu.load.vmsa_state import vmsa_page
from emu.planes.snp import linux_boot
from emu.planes.snp.launch import KVM_VMSA_GPA, PAGE, Launch, LaunchPage, PageType

SYMBOLS = {"snp_secrets_page": PageType.SECRETS, "snp_cpuid_page": PageType.CPUID,
           "snp_memory_map": PageType.UNMEASURED}
_CR0_PG, _EFER_LME, _PRESENT, _LARGE = 1 << 31, 1 << 8, 1, 1 << 7
_ADDRESS = 0xF_FFFF_FFFF_F000


def knows_snp(image: Image) -> bool:
    """Whether the image accepts its memory itself. Others find all of RAM accepted, as after a firmware."""
    return image.launch is not None or bool(image.roms) or any(symbol.name in SYMBOLS for symbol in image.symbols)


def plan(image: Image, *, memory: int, vcpus: int, signature: int, features: int, c_bit: int) -> Launch:
    """The launch of an image. `memory`: bytes of RAM. `signature`: EAX of CPUID function 1. `features`: SEV_FEATURES.
    `c_bit`: its position. ImageError: the image cannot be an SNP guest."""
    if image.launch is not None:
        return image.launch
    if image.roms:
        return ovmf.snp_launch(image.path, image.roms[-1].data, memory=memory, vcpus=vcpus, signature=signature,
                               features=features)
    return _direct(image, memory, features, 1 << c_bit)


def _direct(image: Image, memory: int, features: int, c_bit: int) -> Launch:
    contents = _pages(image)
    special = {symbol.address: SYMBOLS[symbol.name] for symbol in image.symbols if symbol.name in SYMBOLS}
    for gpa in special:
        if gpa % PAGE or gpa not in contents:
            raise ImageError(image.path, "snp page", f"{gpa:#x} is not the beginning of a page of the image")
    boot = image.boot
    if image.kind == "linux":
        special |= linux_boot.announce(image.path, contents, boot.registers["rsi"])
    if boot.registers.get("cr0", 0) & _CR0_PG and boot.registers.get("efer", 0) & _EFER_LME:
        _make_private(contents, boot.registers["cr3"], c_bit, 4)
        boot = replace(boot, registers=boot.registers | {"cr3": boot.registers["cr3"] | c_bit})
    pages = []
    for gpa, data in sorted(contents.items()):
        kind = special.get(gpa, PageType.NORMAL)
        if kind is PageType.UNMEASURED:
            data[:] = ram.igvm_memory_map(memory).ljust(PAGE, b"\0")
        pages.append(LaunchPage(gpa, kind, bytes(data) if any(data) else b""))
    pages.append(LaunchPage(KVM_VMSA_GPA, PageType.VMSA, vmsa_page(boot, features)))
    return Launch(tuple(pages))


def _pages(image: Image) -> dict[int, bytearray]:
    """GPA -> contents of every page that has some of a segment."""
    contents: dict[int, bytearray] = {}
    for segment in image.segments:
        for page in range(segment.gpa & -PAGE, segment.gpa + segment.size, PAGE):
            data = contents.setdefault(page, bytearray(PAGE))
            first, end = max(page, segment.gpa), min(page + PAGE, segment.gpa + len(segment.data))
            if first < end:
                data[first - page:end - page] = segment.data[first - segment.gpa:end - segment.gpa]
    return contents


def _make_private(contents: dict[int, bytearray], table: int, c_bit: int, level: int) -> None:
    """Set the C-bit in every present entry of the loader's page tables (long mode)."""
    page = contents.get(table & _ADDRESS & ~c_bit)
    for at in range(0, PAGE, 8) if page is not None else ():
        assert page is not None
        entry = int.from_bytes(page[at:at + 8], "little")
        if not entry & _PRESENT or entry & c_bit:
            continue
        page[at:at + 8] = (entry | c_bit).to_bytes(8, "little")
        if level > 1 and not entry & _LARGE:
            _make_private(contents, entry, c_bit, level - 1)
