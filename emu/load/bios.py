"""A firmware ROM: mapped to end at 4 GiB, its last 128 KiB also below 1 MiB, entered at the reset vector.

The state is the processor's own after RESET (SDM Vol. 3A, 9.1.1, table 9-1), not a loader's choice.
"""

from emu.load import ram, start
from emu.load.model import BootState, Image, Request, Rom, SegmentRegister

_BLOCK = 0x10000
_MAX_SIZE = 16 << 20
_SHADOW = 0x20000
_RESET_CS = SegmentRegister(0xF000, 0xFFFF0000, 0xFFFF, start.CODE16)
_CR0_NW_CD = 3 << 29
# EDX is the processor signature 000n06xxH. The model is the machine's to choose: it may write its CPUID.1:EAX here.


def load(request: Request) -> Image:
    """The image of a firmware ROM; ImageError unless its size is a multiple of 64 KiB, at most 16 MiB."""
    for name, given in (("initrd", request.modules), ("append", request.append)):
        if given:
            raise request.error(name, "firmware has no way to receive it")
    for name, value in (("load", request.load_address), ("mode", request.mode)):
        if value is not None:
            raise request.error(name, "a firmware ROM starts at the reset vector, it takes no --load or --mode")
    if request.reserved:
        raise request.error("reserved", "firmware counts RAM by itself, so none can be kept from it")
    ram.check_memory(request.path, request.memory)
    size = len(request.data)
    if size == 0 or size % _BLOCK or size > _MAX_SIZE:
        raise request.error("size", f"is {size} bytes, a firmware ROM has a multiple of 64 KiB, at most 16 MiB")
    shadow = request.data[-_SHADOW:]
    roms = (Rom(ram.HIGH_START - len(shadow), shadow), Rom(ram.FOUR_GIB - size, request.data))
    return Image("bios", request.path, (), _reset_state(), (), roms)


def _reset_state() -> BootState:
    data = SegmentRegister(0, 0, 0xFFFF, start.DATA16)
    segments = dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data) | start.system_segments() | {"cs": _RESET_CS}
    registers = {"rip": 0xFFF0, "rflags": 2, "cr0": _CR0_NW_CD | start.CR0_ET}
    return BootState(registers, segments, (0, 0xFFFF), (0, 0xFFFF), at_reset=True)
