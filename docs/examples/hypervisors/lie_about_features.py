"""Says that it has every feature there could be."""

from emu.planes.snp.hypervisor import Hypervisor


class LieAboutFeatures(Hypervisor):
    features = (1 << 52) - 1
