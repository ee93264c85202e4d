"""How a guest learns that it may have planes: KVM's signature at 0x40000000, and the planes' own leaf behind it.

Hypervisors place further interfaces at multiples of 0x100 (Linux, Documentation/virt/kvm/x86/cpuid.rst).

Leaf 0x40000101: EAX how many planes a vCPU may have; EBX how they are changed, ASK_* in bits 7:0 and DESCENDING in bit
8; ECX 1 + the number of the plane that takes all events, 0 without one; EDX what planes share, SHARE_BITS.
"""

from __future__ import annotations

from emu.isa.cpuid import ZERO, Registers
from emu.paravirt.kvm import SIGNATURE, SIGNATURE_LEAF
from emu.planes.policies import Policy
from jit import group_layout

PLANES_LEAF = 0x40000100
PLANES: Registers = (PLANES_LEAF + 1, 0x61727453, 0x6C506174, 0x73656E61)      # "StrataPlanes"
ASK_CALL, ASK_RUN = 1, 2            # by PLANE_CALL and PLANE_RETURN; by RUN_PLANE
DESCENDING = 1 << 8                 # higher numbers are more privileged
SHARE_BITS = {"gpr": 1, "dr": 2, "fpu": 4}


def leaf(number: int, policy: Policy, limit: int) -> Registers | None:
    """A leaf of the hypervisor's range, or None outside it."""
    if number == SIGNATURE_LEAF:
        return SIGNATURE
    if number == PLANES_LEAF:
        return PLANES
    if number == PLANES_LEAF + 1:
        calls = policy.mode in (group_layout.MODE_USER, group_layout.MODE_EVENT)
        how = (ASK_CALL if calls else ASK_RUN) | (DESCENDING if policy.descending else 0)
        return (limit, how, 0 if policy.marker is None else policy.marker + 1,
                sum(SHARE_BITS[name] for name in policy.shares))
    return ZERO if SIGNATURE_LEAF <= number <= PLANES_LEAF + 0xFF else None
