"""Launches the SVSM with other SEV_FEATURES than its owner measured: its debug registers are swapped."""

from emu.planes.snp import vmsa
from emu.planes.snp.hypervisor import Hypervisor


class ChangeOwnFeatures(Hypervisor):
    launch_features = vmsa.DEFAULT_FEATURES | vmsa.DEBUG_SWAP
