"""Hyper-V Virtual Secure Mode: the hypervisor's side (Hypervisor Top-Level Functional Specification, "TLFS")."""

from emu.planes.vsm.codes import NAMES

HYPERCALLS = tuple(NAMES.values())
