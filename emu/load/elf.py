"""A plain ELF executable: no boot protocol, so it starts in the mode of its class with memory to run on.

ELF64 starts in 64-bit mode with every address that RAM reaches mapped to itself; ELF32 in flat 32-bit protected mode.
Interrupts are off, the IDT is empty, RSP is a 16 KiB stack. Segments go to their physical addresses (p_paddr).
"""

from emu.load import start
from emu.load.elf_file import ET_DYN, PT_DYNAMIC, PT_INTERP, ElfFile
from emu.load.layout import Layout
from emu.load.model import Image, Request
from emu.load.symbols import elf_symbols

_DT_NULL = 0
# Tags whose presence means that a loader must write into the image (gABI chapter 5, Dynamic Section; DT_RELR 36).
_RELOCATION_SIZES = {2: "DT_PLTRELSZ", 8: "DT_RELASZ", 18: "DT_RELSZ", 35: "DT_RELRSZ"}
_DT_NEEDED = 1
_PAGE = 0x1000


def load(request: Request) -> Image:
    """The image of a plain ELF file; ImageError if it breaks a rule or has relocations to process."""
    if request.modules:
        raise request.error("initrd", "a plain ELF file has no way to receive one")
    if request.append:
        raise request.error("append", "a plain ELF file has no way to receive a command line")
    elf = ElfFile(request.path, request.data)
    if request.mode not in (None, elf.bits):
        raise request.error("mode", f"is {request.mode}, but the file is {elf.bits}-bit")
    check_static(elf)
    shift = _shift(request, elf)
    layout = Layout(request.path, request.memory, request.reserved)
    elf.put_segments(layout, shift)
    entry = elf.physical_entry() + shift
    registers = {"rip": entry, "rsp": start.put_stack(layout)}
    if elf.bits == 64:
        boot = start.long_mode(layout, registers, request.memory)
    else:
        boot = start.protected_mode(layout, registers)
    return Image("elf", request.path, layout.segments(), boot, elf_symbols(elf, shift))


def _shift(request: Request, elf: ElfFile) -> int:
    if request.load_address is None:
        return 0
    if elf.type != ET_DYN:
        raise request.error("load", "only a position-independent ELF file (ET_DYN) can be moved")
    lowest = min(elf.loads, key=lambda h: h.paddr)
    shift = request.load_address - lowest.paddr
    alignment = max(_PAGE, *(h.align for h in elf.loads))
    if shift % alignment:
        raise request.error("load", f"{request.load_address:#x} breaks the file's alignment of {alignment:#x}")
    return shift


def check_static(elf: ElfFile) -> None:
    """ImageError if a loader would have to link the file or process relocations."""
    for header in elf.headers:
        if header.type == PT_INTERP:
            raise elf.reader.error(header.field("p_type"), "is PT_INTERP: the file needs a dynamic linker")
        if header.type == PT_DYNAMIC:
            _check_dynamic(elf, header.offset, header.filesz, header.field("dynamic section"))


def _check_dynamic(elf: ElfFile, offset: int, size: int, field: str) -> None:
    word = elf.bits // 8
    elf.reader.span(offset, size, field)
    for at in range(offset, offset + size - 2 * word + 1, 2 * word):
        tag, value = elf.reader.uint(at, word, field), elf.reader.uint(at + word, word, field)
        if tag == _DT_NULL:
            return
        if tag == _DT_NEEDED:
            raise elf.reader.error(field, "has DT_NEEDED: the file needs shared libraries")
        if tag in _RELOCATION_SIZES and value:
            raise elf.reader.error(field, f"{_RELOCATION_SIZES[tag]} is {value}: relocations are not processed")
