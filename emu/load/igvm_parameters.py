"""What a loader puts into an IGVM file's parameter areas. None of it is measured; a guest must not trust it."""

from __future__ import annotations

import struct
from collections.abc import Callable

from emu.acpi import topology
from emu.acpi.tables import madt
from emu.load import igvm_file as igvm
from emu.load import ram
from emu.load.model import Request

SHARED_BY_DEFAULT = 1                   # ENVIRONMENT_INFO: memory that was not loaded belongs to the hypervisor


def mmio_ranges(_: Request) -> bytes:
    """Two IGVM_VHS_MEMORY_RANGE: the devices below 4 GiB, and none above."""
    return struct.pack("<4Q", ram.DEVICE_HOLE // ram.PAGE, (ram.FOUR_GIB - ram.DEVICE_HOLE) // ram.PAGE, 0, 0)


PARAMETERS: dict[int, Callable[[Request], bytes]] = {
    igvm.VP_COUNT: lambda request: request.vcpus.to_bytes(4, "little"),
    igvm.MADT: lambda request: madt(request.vcpus),
    igvm.SRAT: lambda request: topology.srat(request.vcpus, ((r.base, r.size) for r in ram.loadable(request.memory))),
    igvm.SLIT: lambda request: topology.slit(),
    igvm.PPTT: lambda request: topology.pptt(request.vcpus),
    igvm.MMIO_RANGES: mmio_ranges,
    igvm.MEMORY_MAP: lambda request: ram.igvm_memory_map(request.memory),
    igvm.COMMAND_LINE: lambda request: request.command_line,
    igvm.ENVIRONMENT_INFO: lambda request: SHARED_BY_DEFAULT.to_bytes(4, "little"),
}
