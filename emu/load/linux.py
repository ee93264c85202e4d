"""The Linux/x86 boot protocol (Documentation/arch/x86/boot.rst, zero-page.rst), 64-bit and 32-bit entry.

The real-mode part of the file is not run: this loader does its work, and describes the machine in struct boot_params.
"""

import struct
from dataclasses import dataclass

from emu.load import ram, start
from emu.load.layout import Layout
from emu.load.model import BootState, Image, Request
from emu.load.reader import Reader

_HEADER = 0x1F1  # offset of struct setup_header in the file and in boot_params alike
_HEADER_ROOM = 0x290 - _HEADER  # boot_params has other fields after it
_MAGIC = int.from_bytes(b"HdrS", "little")
_BOOT_PARAMS_SIZE = 0x1000
_E820_TABLE = 0x2D0
_BOOT_CS = 0x10  # __BOOT_CS; __BOOT_DS is the next selector, 0x18
_LOADED_HIGH = 1 << 0
_XLF_KERNEL_64 = 1 << 0
_ENTRY_64 = 0x200  # startup_64, from the start of the protected-mode code
_DEFAULT_ADDRESS = 0x100000  # where bzImages go that name no preferred address
_OLD_INITRD_MAX = 0x37FFFFFF  # before protocol 2.03 (boot.rst, initrd_addr_max)
_OLD_CMDLINE_SIZE = 255  # before protocol 2.06
_LOADER_UNDEFINED = 0xFF  # type_of_loader without an assigned number


@dataclass(frozen=True)
class SetupHeader:
    """The fields of struct setup_header that this loader reads. ``raw`` is all of it, for boot_params."""

    raw: bytes
    version: int
    kernel_offset: int  # in the file
    kernel_size: int
    address: int
    initrd_max: int
    cmdline_size: int
    init_size: int
    has_entry_64: bool


def is_linux(data: bytes) -> bool:
    """Whether the file has the boot sector signature and the magic number of a kernel with protocol 2.00 or newer."""
    return data[0x1FE:0x200] == b"\x55\xaa" and data[0x202:0x206] == b"HdrS"


def parse(reader: Reader) -> SetupHeader:
    """The checked setup header. ImageError if it is not that of a bzImage with protocol 2.02 or newer."""
    read = reader.uint
    if read(0x1FE, 2, "boot_flag") != 0xAA55:
        raise reader.error("boot_flag", "is not 0xAA55: not a Linux kernel image")
    if read(0x202, 4, "header") != _MAGIC:
        raise reader.error("header", "is not \"HdrS\": not a Linux kernel with boot protocol 2.00 or newer")
    version = read(0x206, 2, "version")
    if version < 0x202:
        raise reader.error("version", f"is {version >> 8}.{version & 0xFF:02d}, protocol 2.02 or newer is needed")
    if not read(0x211, 1, "loadflags") & _LOADED_HIGH:
        raise reader.error("loadflags", "LOADED_HIGH is clear: a zImage, only bzImages are loaded")
    end = 0x202 + read(0x201, 1, "jump")
    raw = bytes(reader.span(_HEADER, end - _HEADER, "jump"))[:_HEADER_ROOM]
    needed = next(size for least, size in _HEADER_ENDS if version >= least)
    if end < needed:
        raise reader.error("jump", f"the header ends at {end:#x}, protocol {version:#x} has fields up to {needed:#x}")

    offset = ((read(_HEADER, 1, "setup_sects") or 4) + 1) * 512
    rest = len(reader.data) - offset
    # syssize counts paragraphs, the last one perhaps cut; before 2.04 only 16 of its bits are sure.
    size = read(0x1F4, 4, "syssize") * 16 if version >= 0x204 else max(rest, 0)
    if size == 0 or size - 15 > rest:
        rule = f"the kernel takes {size:#x} bytes from {offset:#x} on, the file has {max(rest, 0):#x}"
        raise reader.error("syssize", rule)
    placed = version >= 0x20A  # has pref_address and init_size
    address = read(0x258, 8, "pref_address") if placed else _DEFAULT_ADDRESS
    if placed and read(0x234, 1, "relocatable_kernel"):
        alignment = read(0x230, 4, "kernel_alignment")
        if alignment == 0 or alignment & (alignment - 1):
            raise reader.error("kernel_alignment", f"is {alignment:#x}, not a power of two")
        if address % alignment:
            raise reader.error("pref_address", f"{address:#x} is not a multiple of kernel_alignment {alignment:#x}")
    return SetupHeader(
        raw, version, offset, min(size, rest),
        address=address,
        initrd_max=read(0x22C, 4, "initrd_addr_max") if version >= 0x203 else _OLD_INITRD_MAX,
        cmdline_size=read(0x238, 4, "cmdline_size") if version >= 0x206 else _OLD_CMDLINE_SIZE,
        init_size=read(0x260, 4, "init_size") if placed else 0,
        has_entry_64=version >= 0x20C and bool(read(0x236, 2, "xloadflags") & _XLF_KERNEL_64))


# Where the fields end that each protocol version brought and parse() reads.
_HEADER_ENDS = ((0x20C, 0x264), (0x20A, 0x264), (0x206, 0x23C), (0x203, 0x230), (0, 0x22C))


def load(request: Request) -> Image:
    """The image of a bzImage, entered as 64-bit code if it can be, else (or with mode 32) at its 32-bit entry."""
    reader = Reader(request.path, request.data)
    header = parse(reader)
    if request.mode not in (None, 32, 64):
        raise request.error("mode", f"is {request.mode}, a Linux kernel is entered in 32-bit or 64-bit mode")
    if request.mode == 64 and not header.has_entry_64:
        raise request.error("xloadflags", "XLF_KERNEL_64 is clear: the kernel has no 64-bit entry")
    if request.load_address is not None:
        raise request.error("load", "a Linux kernel is loaded at the address that its header prefers")
    if len(request.modules) > 1:
        raise request.error("initrd", "a Linux kernel takes one")
    bits = 64 if header.has_entry_64 and request.mode != 32 else 32
    entry = header.address + (_ENTRY_64 if bits == 64 else 0)
    if bits == 64 and header.kernel_size <= _ENTRY_64:
        raise request.error("syssize", f"the kernel ends before its 64-bit entry at {_ENTRY_64:#x}")
    if entry >= ram.FOUR_GIB:
        raise request.error("pref_address", f"{header.address:#x} is not below 4 GiB")

    # The kernel's own early code borrows the top of conventional memory (the 4-to-5-level paging trampoline).
    layout = Layout(request.path, request.memory, request.reserved, upwards=True)
    layout.put(header.address, reader.span(header.kernel_offset, header.kernel_size, "syssize"), "pref_address")
    # The kernel unpacks itself there before it reads any memory map.
    tail = header.init_size - header.kernel_size
    layout.claim(header.address + header.kernel_size, tail, "init_size")

    text = request.command_line
    if len(text) - 1 > header.cmdline_size:
        raise request.error("append", f"is {len(text) - 1} bytes long, the kernel takes {header.cmdline_size}")
    params = _boot_params(request, header)
    _put_field(params, 0x228, layout.put_low(text, "command line"), 4)
    if request.modules:
        _put_initrd(request, layout, header, params)
    place = layout.put_low(bytes(params), "boot_params")
    boot = _entry_state(request, layout, bits, entry, place)
    return Image("linux", request.path, layout.segments(), boot)


def _entry_state(request: Request, layout: Layout, bits: int, entry: int, params: int) -> BootState:
    registers = {"rip": entry, "rsi": params, "rsp": start.put_stack(layout)}
    if bits == 64:
        return start.long_mode(layout, registers, request.memory, code=_BOOT_CS)
    return start.protected_mode(layout, registers, code=_BOOT_CS)


def _put_initrd(request: Request, layout: Layout, header: SetupHeader, params: bytearray) -> None:
    initrd = request.modules[0]
    if not initrd.data:
        raise request.error(f"initrd ({initrd.path})", "is empty")
    high = min(header.initrd_max + 1, ram.FOUR_GIB)
    name = f"initrd ({initrd.path})"
    gpa = layout.find(len(initrd.data), name, low=ram.HIGH_START, high=high, top=True)
    layout.put(gpa, initrd.data, name)
    _put_field(params, 0x218, gpa, 4)  # ramdisk_image
    _put_field(params, 0x21C, len(initrd.data), 4)  # ramdisk_size


def _boot_params(request: Request, header: SetupHeader) -> bytearray:
    """struct boot_params (zero-page.rst): the setup header as the file has it, and the fields that a loader fills in.

    screen_info stays zero: it says that there is no text console that firmware set up.
    """
    params = bytearray(_BOOT_PARAMS_SIZE)
    params[_HEADER:_HEADER + len(header.raw)] = header.raw
    _put_field(params, 0x210, _LOADER_UNDEFINED, 1)  # type_of_loader
    _put_field(params, 0x214, header.address, 4)  # code32_start
    _put_field(params, 0x218, 0, 8)  # ramdisk_image, ramdisk_size: the file may hold anything
    above = ram.upper_kib(request.memory, request.reserved)
    _put_field(params, 0x002, min(above, 0xFFFF), 2)  # ext_mem_k
    _put_field(params, 0x1E0, above, 4)  # alt_mem_k
    memory_map = ram.address_map(request.memory, request.reserved)
    _put_field(params, 0x1E8, len(memory_map), 1)  # e820_entries
    table = b"".join(struct.pack("<QQI", r.base, r.size, r.type) for r in memory_map)
    params[_E820_TABLE:_E820_TABLE + len(table)] = table
    return params


def _put_field(params: bytearray, offset: int, value: int, size: int) -> None:
    params[offset:offset + size] = value.to_bytes(size, "little")
