"""An image that runs in a higher privilege plane beside the guest's own: a monitor, a secure kernel, a paravisor.

It is a static ELF64 file that has the end of RAM below 4 GiB for itself: its segments, and after them a stack, a GDT
and tables that map each address to itself. A position-independent file (ET_DYN) goes as high as it can; any other is
where it was linked, and has all from there on. The guest's own image is told that this RAM is reserved.
"""

import os
import struct

from emu.load import ram, start
from emu.load.elf import check_static
from emu.load.elf_file import ET_DYN, ElfFile
from emu.load.files import read_file
from emu.load.layout import Layout
from emu.load.model import Image, ImageError
from emu.load.symbols import elf_symbols

_GRANULE = 2 << 20  # where the RAM begins: a large page of the guest has one owner
_ROOM = start.STACK_SIZE + start.TABLES * ram.PAGE + 4 * ram.PAGE  # stack, tables, GDT, and what alignment takes


def load_beside(path: str | os.PathLike[str], memory: int) -> tuple[Image, int]:
    """The image, and how many bytes at the end of RAM below 4 GiB it has. It starts in 64-bit mode; RSP points to three
    u64: 0, the address of its RAM, and its size. ImageError for whatever is wrong with the file."""
    name = os.fspath(path)
    ram.check_memory(name, memory)
    elf = ElfFile(name, read_file(name))
    if elf.bits != 64:
        raise ImageError(name, "e_ident", "is of a 32-bit file, and a higher plane's image is 64-bit")
    check_static(elf)
    lowest = min(header.paddr for header in elf.loads)
    span = max(header.paddr + header.memsz for header in elf.loads) - lowest
    end, shift = ram.low_end(memory), 0
    base = (end - span - _ROOM if elf.type == ET_DYN else lowest) & -_GRANULE
    if base < ram.HIGH_START:
        raise ImageError(name, "p_paddr", f"{span:#x} bytes do not fit between 1 MiB and the end of RAM at {end:#x}"
                         if elf.type == ET_DYN else f"{lowest:#x} is below {_GRANULE:#x}, which is the guest's")
    if elf.type == ET_DYN:
        shift = base - (lowest & -max(ram.PAGE, *(header.align for header in elf.loads)))
    layout = Layout(name, memory)
    for part in ram.loadable(memory):
        layout.claim(part.base, min(part.end, base) - part.base, "the guest's RAM")
    elf.put_segments(layout, shift)
    # In the stack because general registers are those of the guest's image, where planes share them.
    top = struct.pack("<3Q", 0, base, end - base)
    stack = layout.put_low(bytes(start.STACK_SIZE - start.ABOVE_RSP) + top, "stack", size=start.STACK_SIZE)
    rsp = stack + start.STACK_SIZE - start.ABOVE_RSP
    boot = start.long_mode(layout, {"rip": elf.physical_entry() + shift, "rsp": rsp}, memory)
    return Image("elf", name, layout.segments(), boot, elf_symbols(elf, shift)), end - base
