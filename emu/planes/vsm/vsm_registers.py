"""The VSM registers of GetVpRegisters and SetVpRegisters (TLFS, Virtual Secure Mode, "VSM-related registers")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.vsm import codes, page
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from jit import layout

if TYPE_CHECKING:
    from emu.planes.vsm.partition import Vp

DENY_LOWER_VTL_STARTUP_OFFERED = 1 << 17        # VsmCapabilities; Dr6Shared, MBEC and the rest are 0
# VsmPartitionConfig
ENABLE_PROTECTION, MASK, ZERO_MEMORY_ON_RESET, DENY_LOWER_VTL_STARTUP = 1, 0x1E, 1 << 5, 1 << 6
MASK_RWX = 0x1E
OFFERED = MASK | ZERO_MEMORY_ON_RESET | DENY_LOWER_VTL_STARTUP


class Register(NamedTuple):
    """How a register of a VTL is read and written."""

    read: Callable[[Vp, int], int]
    write: Callable[[Vp, int, int], None]


def read_only(vp: Vp, vtl: int, value: int) -> None:
    """A write of a read-only register."""
    raise HvError(codes.INVALID_PARAMETER)


def code_page_offsets(vp: Vp, vtl: int) -> int:
    """Where the VTL call and return stubs are, for the mode in which the VTL runs."""
    return page.offsets(vp.vcpu.planes[vtl].get(layout.MODE) & 3 == layout.MODE_64)


def vp_status(vp: Vp, vtl: int) -> int:
    """3:0 ActiveVtl, 31:16 EnabledVtlSet."""
    return vp.active | vp.enabled << 16


def partition_status(vp: Vp, vtl: int) -> int:
    """15:0 EnabledVtlSet, 19:16 MaximumVtl."""
    return vp.partition.enabled | vp.partition.max_vtl << 16


def read_config(vp: Vp, vtl: int) -> int:
    """VsmPartitionConfig of a VTL above 0."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    return vp.partition.vtls[vtl].config


def write_config(vp: Vp, vtl: int, value: int) -> None:
    """As read_config. EnableVtlProtection is refused: memory protections are not implemented."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    if value & ENABLE_PROTECTION:
        vp.partition.report("VsmPartitionConfig.EnableVtlProtection")
    if value & ~OFFERED or value & MASK != MASK_RWX:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.partition.vtls[vtl].config = value


REGISTERS = {
    names.VSM_CODE_PAGE_OFFSETS: Register(code_page_offsets, read_only),
    names.VSM_VP_STATUS: Register(vp_status, read_only),
    names.VSM_PARTITION_STATUS: Register(partition_status, read_only),
    names.VSM_CAPABILITIES: Register(lambda vp, vtl: DENY_LOWER_VTL_STARTUP_OFFERED, read_only),
    names.VSM_PARTITION_CONFIG: Register(read_config, write_config),
}
