"""The VSM registers of GetVpRegisters and SetVpRegisters (TLFS, Virtual Secure Mode, "VSM-related registers")."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.layers import origin_of
from emu.planes.vsm import codes, config, page, trapped, vina
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.vp import SECURE_MBEC, SECURE_TLB_LOCKED
from jit import layout

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp


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
    """3:0 ActiveVtl, 4 ActiveMbecEnabled, 31:16 EnabledVtlSet."""
    return vp.active | vp.mbec_active(vp.active) << 4 | vp.partition.visible(vp.enabled, vtl) << 16


def partition_status(vp: Vp, vtl: int) -> int:
    """15:0 EnabledVtlSet, 19:16 MaximumVtl, 35:20 MbecEnabledVtlSet: the VTLs that MBEC governs or that govern it."""
    partition = vp.partition
    enabled = partition.visible(partition.enabled, vtl)
    mbec = 0
    for number, state in partition.vtls.items():
        if state.mbec and enabled >> number & 1:
            mbec |= 1 << number | 1
    return enabled | partition.highest(vtl) << 16 | mbec << 20


def capabilities(vp: Vp, vtl: int) -> int:
    """VsmCapabilities."""
    return config.CAPABILITIES | (config.MBEC_VTL0 if vp.partition.dialect.mbec else 0)


def read_config(vp: Vp, vtl: int) -> int:
    """VsmPartitionConfig of a VTL above 0."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    return vp.partition.vtls[vtl].config


def write_config(vp: Vp, vtl: int, value: int) -> None:
    """Once EnableVtlProtection is set, neither it nor the default mask can be changed."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    partition = vp.partition
    old = partition.vtls[vtl].config
    if value & ~config.OFFERED or not legal_mask((value & config.MASK) >> config.MASK_SHIFT, default=True):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    fixed = config.ENABLE_PROTECTION | config.MASK
    if old & config.ENABLE_PROTECTION and (old ^ value) & fixed:
        if partition.dialect.config_locked:
            raise HvError(partition.dialect.config_locked)
        return
    partition.vtls[vtl].config = value
    if value & ~old & config.ENABLE_PROTECTION:
        partition.protections.enable(vtl, range(vtl), (value & config.MASK) >> config.MASK_SHIFT, origin_of(vp.vcpu))
        partition.protect()


def legal_mask(flags: int, default: bool = False) -> bool:
    """Whether map flags can be a page's, or (`default`) all pages' at first: nothing without read, which with write is
    in every default, and no kernel-mode execution without user-mode's. Without mode-based execution control the
    latter stands for both: editions order the two bits differently."""
    reads, writes, kernel, user = (flags >> bit & 1 for bit in range(4))
    if default and not (reads and writes):
        return False
    if flags >> 4 or (writes or kernel or user) and not reads:
        return False
    return not kernel or bool(user)


def read_guest_config(vp: Vp, vtl: int) -> int:
    """GuestVsmPartitionConfig: 3:0 the highest VTL that VTLs below a paravisor may enable. It alone has this."""
    if not vtl or vtl != vp.partition.paravisor:
        raise HvError(codes.ACCESS_DENIED)
    return vp.partition.guest_max_vtl


def write_guest_config(vp: Vp, vtl: int, value: int) -> None:
    """HvError: it would not be below the paravisor, or below what is enabled already."""
    read_guest_config(vp, vtl)
    below = vp.partition.enabled & (1 << vtl) - 1
    if not below.bit_length() - 1 <= value < vtl:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.partition.guest_max_vtl = value


def read_secure_config(vp: Vp, vtl: int, lower: int) -> int:
    """VsmVpSecureConfigVtlN: what VTL `vtl` decides for a lower one on this virtual processor."""
    if lower >= vtl:
        raise HvError(codes.ACCESS_DENIED)
    return vp.vtls[vtl].secure.get(lower, 0)


def write_secure_config(vp: Vp, vtl: int, value: int, lower: int) -> None:
    """0 MbecEnabled, 1 TlbLocked. MbecEnabled does nothing where the VTL was enabled without MBEC."""
    if lower >= vtl:
        raise HvError(codes.ACCESS_DENIED)
    if value & ~(SECURE_MBEC | SECURE_TLB_LOCKED):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vtls[vtl].secure[lower] = value
    vp.partition.tlb_locks.hold(vp, vtl, lower, bool(value & SECURE_TLB_LOCKED))
    vp.protect()


def write_wait_for_tlb_lock(vp: Vp, vtl: int, value: int) -> None:
    """Bit 0: the lower VTLs of this virtual processor do not run before all locks that are held now are released."""
    if value & ~1:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    if value:
        for lower in range(vtl):
            if vp.enabled >> lower & 1:
                vp.partition.tlb_locks.wait(vp, lower)


def _zero(vp: Vp, vtl: int) -> int:
    return 0


REGISTERS = {
    names.VSM_CODE_PAGE_OFFSETS: Register(code_page_offsets, read_only),
    names.VSM_VP_STATUS: Register(vp_status, read_only),
    names.VSM_PARTITION_STATUS: Register(partition_status, read_only),
    names.VSM_VINA: Register(vina.read, vina.write),
    names.VSM_CAPABILITIES: Register(capabilities, read_only),
    names.VSM_PARTITION_CONFIG: Register(read_config, write_config),
    names.GUEST_VSM_PARTITION_CONFIG: Register(read_guest_config, write_guest_config),
    names.VSM_VP_WAIT_FOR_TLB_LOCK: Register(_zero, write_wait_for_tlb_lock),
    **{names.VSM_VP_SECURE_CONFIG + n: Register(partial(read_secure_config, lower=n),
                                                partial(write_secure_config, lower=n)) for n in range(15)},
    **{name: Register(partial(trapped.read, name=name), partial(trapped.write, name=name))
       for name in (trapped.CONTROL, trapped.CR0_MASK, trapped.CR4_MASK, trapped.MISC_ENABLE_MASK)},
}
