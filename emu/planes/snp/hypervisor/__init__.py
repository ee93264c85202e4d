"""The hypervisor of an SNP guest, in pieces that a user's class may replace one by one."""

from emu.planes.snp.hypervisor.core import Hypervisor

__all__ = ["Hypervisor"]
