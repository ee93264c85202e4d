"""Which kind of image a file is, from its bytes."""

from emu.load import igvm_file, linux, multiboot, multiboot2, pvh
from emu.load.elf_file import MAGIC, ElfFile

KINDS = ("linux", "multiboot", "multiboot2", "pvh", "elf", "igvm", "flat", "bios")


def sniff(path: str, data: bytes) -> str | None:
    """One of KINDS; None if nothing in the file says so (flat binaries and ROMs have no mark of their own).

    A file of several kinds is the first in the order of KINDS. A Multiboot header with a wrong checksum counts too:
    the loader then says what is wrong, instead of another one starting the file in a mode that it does not expect.
    """
    if linux.is_linux(data):
        return "linux"
    if multiboot.find_header(data) is not None:
        return "multiboot"
    if multiboot2.find_header(data) is not None:
        return "multiboot2"
    if data[:4] == MAGIC:
        return "pvh" if pvh.find_entry(ElfFile(path, data)) is not None else "elf"
    return "igvm" if data[:4] == igvm_file.MAGIC else None
