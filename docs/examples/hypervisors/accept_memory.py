"""Launches every guest with all of its RAM accepted. Does not lie: some firmware uses memory before it accepts it."""

from emu.planes.snp.hypervisor import Hypervisor


class AcceptMemory(Hypervisor):
    direct = True
    accepted = True
