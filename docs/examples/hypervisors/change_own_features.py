"""Launches the SVSM with another SEV_FEATURES than its owner measured: alternate injection instead of none."""

from emu.planes.snp import vmsa
from emu.planes.snp.hypervisor import Hypervisor


class ChangeOwnFeatures(Hypervisor):
    launch_features = vmsa.DEFAULT_FEATURES & ~vmsa.DEBUG_SWAP
