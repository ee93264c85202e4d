"""Loading an image: from a file name and options to an Image, or an ImageError. The public face of this package."""

import os
from collections.abc import Callable

from emu.load import bios as firmware
from emu.load import elf, flat, igvm, linux, multiboot, multiboot2, pvh, ram
from emu.load.elf_file import MAGIC
from emu.load.files import read_file, read_modules
from emu.load.model import (
    BootState,
    FirmwareTables,
    Image,
    ImageError,
    Module,
    Request,
    Rom,
    Segment,
    SegmentRegister,
    Symbol,
)
from emu.load.sniff import KINDS, sniff

__all__ = ["KINDS", "BootState", "FirmwareTables", "Image", "ImageError", "Module", "Request", "Rom", "Segment",
           "SegmentRegister", "Symbol", "load_bytes", "load_image"]

_LOADERS: dict[str, Callable[[Request], Image]] = {
    "linux": linux.load, "multiboot": multiboot.load, "multiboot2": multiboot2.load, "pvh": pvh.load,
    "elf": elf.load, "flat": flat.load, "igvm": igvm.load, "bios": firmware.load}
_SEVERAL_MODULES = ("multiboot", "multiboot2", "pvh")
_MAX_COMMAND_LINE = 0x10000  # bytes; far beyond every protocol's own limit that is known


def load_image(path: str | os.PathLike[str] | None, *, kind: str = "auto", memory: int, load_address: int | None = None,
               mode: int | None = None, initrd: str | os.PathLike[str] | None = None, append: str = "",
               bios: str | os.PathLike[str] | None = None, reserved: int = 0, vcpus: int = 1,
               tables: FirmwareTables | None = None) -> Image:
    """Read ``path`` and lay it out in ``memory`` bytes of RAM.

    ``kind``: "auto" or one of KINDS. ``load_address``, ``mode`` (16, 32, 64): for a flat binary; ``mode`` 32 also picks
    Linux's 32-bit entry, ``load_address`` also moves a position-independent ELF file. ``initrd``: a file; for Multiboot
    and PVH a list of modules, see files.read_modules. ``append``: the command line. ``bios``: a firmware ROM, in place
    of ``path``. ``reserved``: how many bytes at the end of RAM below 4 GiB another image has. ``vcpus``: how many the
    machine has, for images that are told; ``tables``: likewise, where it will put ACPI's. Raises ImageError, and
    nothing else, for whatever is wrong with these.
    """
    if bios is not None:
        if path is not None:
            raise ImageError(os.fspath(path), "bios", "a firmware ROM starts by itself, give no other image beside it")
        path, kind = bios, "bios"
    if path is None:
        raise ImageError("strata", "image", "none given: name a file or a firmware ROM (--bios)")
    name = os.fspath(path)
    ram.check_memory(name, memory)
    data = read_file(name)
    kind = _kind(name, data, kind, load_address)
    modules: tuple[Module, ...] = ()
    if initrd is not None:
        text = os.fspath(initrd)
        if kind in _SEVERAL_MODULES:
            modules = read_modules(text, memory)
        else:
            modules = (Module(text, read_file(text, field="initrd", limit=memory), text),)
    return load_bytes(kind, Request(name, data, memory, load_address, mode, modules, append, reserved, vcpus,
                                    tables))


def load_bytes(kind: str, request: Request) -> Image:
    """Lay out an image whose bytes are at hand; ``kind`` is one of KINDS. Raises ImageError."""
    if "\0" in request.append:
        raise request.error("append", "has a NUL character, which would end the command line")
    if len(request.command_line) > _MAX_COMMAND_LINE:
        raise request.error("append", f"is longer than {_MAX_COMMAND_LINE - 1} bytes")
    return _LOADERS[kind](request)


def _kind(path: str, data: bytes, kind: str, load_address: int | None) -> str:
    if kind != "auto":
        if kind not in KINDS:
            raise ImageError(path, "kind", f"{kind!r} is not one of {', '.join(KINDS)}")
        return kind
    if load_address is not None:  # only flat binaries and movable ELF files have one
        return "elf" if data[:4] == MAGIC else "flat"
    found = sniff(path, data)
    if found is None:
        raise ImageError(path, "kind", "not a known kind of image; a flat binary needs --load and --mode, a ROM --bios")
    return found
