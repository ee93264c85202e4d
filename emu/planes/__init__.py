"""Privilege planes: the designs that a machine can offer its guest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE
from emu.planes.policies import LOWEST_RUNNABLE, NAMES, Policy, is_name, parse
from emu.planes.snp import options as snp_options

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.planes.model import PlaneModel

AVAILABLE = ("none", "kvm", "vsm", "snp")
# For vsm: whose reading of the TLFS counts where its users disagree; -vtl2: three levels are offered instead of two.
VSM_POLICIES = ("ms", "kut", "ms-vtl2", "kut-vtl2")
# For snp: KVM's scheduling; -xex: private memory is seen as AES-XEX ciphertext; -lazy: TLBs keep what is not flushed.
POLICIES = (*VSM_POLICIES, *snp_options.POLICIES, *NAMES)


def policy_of(text: str) -> Policy:
    """A policy by its name, or from a file that a user wrote. ValueError: one line."""
    if not is_name(text) and os.path.isfile(text):
        from emu.planes.script import load
        return load(text)
    return parse(text)


def backings(name: str, vcpus: int) -> tuple[int, int]:
    """How often guest memory is backed, and bytes of the hypervisor's own (emu/guestmap.py)."""
    return (2, vcpus * PAGE) if name == "snp" else (1, 0)


def create(name: str, machine: Machine, policy: str | None, hypervisor: Any = None,
           snp: Any = None) -> PlaneModel | None:
    """The plane model of a machine, or None without planes. ValueError: an unknown name, or a policy that the design
    does not have."""
    if hypervisor is not None and name != "snp":
        raise ValueError(f"hypervisor {hypervisor}: only planes snp have one that can be replaced")
    if name == "none":
        if policy is not None:
            raise ValueError(f"policy {policy!r}: without planes there is nothing to decide")
        return None
    if name == "snp":
        from emu.planes.snp.guest import SnpGuest
        from emu.planes.snp.hypervisor import Hypervisor
        if isinstance(hypervisor, str):
            from emu.planes.snp.custom import hypervisor_class
            hypervisor = hypervisor_class(hypervisor)
        return SnpGuest(machine, snp or snp_options.parse(policy), hypervisor or Hypervisor)
    if name == "kvm":
        from emu.planes.kvm.vmm import serve
        return serve(machine, LOWEST_RUNNABLE if policy is None else policy_of(policy))
    if name != "vsm":
        raise ValueError(f"planes {name!r}: not one of {', '.join(AVAILABLE)}")
    if policy not in (None, *VSM_POLICIES):
        raise ValueError(f"policy {policy!r}: for planes vsm one of {', '.join(VSM_POLICIES)}")
    from emu.planes.vsm.partition import Partition
    dialect, _, levels = (policy or "ms").partition("-")
    return Partition(machine, dialect=dialect, max_vtl=2 if levels else 1)
