"""A flat binary: the file's bytes at an address, entered at the first of them, in the mode that the user names."""

from emu.load import start
from emu.load.layout import Layout
from emu.load.model import Image, Request

_REAL_MODE_END = 0x100000


def load(request: Request) -> Image:
    """The image of a flat binary.

    16-bit: real mode; CS:IP is 0:address below 64 KiB (as a BIOS enters a boot sector), else address/16:address%16;
    DS, ES, FS and GS equal CS, SS:SP is a stack of its own. 32-bit: flat protected mode. 64-bit: long mode over
    identity page tables.
    """
    if request.modules:
        raise request.error("initrd", "a flat binary has no way to receive one")
    if request.append:
        raise request.error("append", "a flat binary has no way to receive a command line")
    if request.load_address is None:
        raise request.error("load", "a flat binary needs a load address (--load ADDR)")
    if request.mode not in (16, 32, 64):
        raise request.error("mode", "a flat binary needs the mode it starts in (--mode 16, 32 or 64)")
    if not request.data:
        raise request.error("file", "is empty")
    address = request.load_address
    layout = Layout(request.path, request.memory, request.reserved)
    layout.put(address, request.data, "load")
    if request.mode == 16:
        if address >= _REAL_MODE_END:
            raise request.error("load", f"{address:#x} is not below 1 MiB, where 16-bit code must start")
        code, ip = (0, address) if address < 0x10000 else (address >> 4, address & 0xF)
        stack = layout.find(start.STACK_SIZE, "stack", low=0x1000, high=0x9F000, top=True)
        layout.put(stack, b"", "stack", start.STACK_SIZE)
        boot = start.real_mode(code, ip, stack >> 4, {"rsp": start.STACK_SIZE})
    elif request.mode == 32:
        boot = start.protected_mode(layout, {"rip": address, "rsp": start.put_stack(layout)})
    else:
        boot = start.long_mode(layout, {"rip": address, "rsp": start.put_stack(layout)}, request.memory)
    return Image("flat", request.path, layout.segments(), boot)
