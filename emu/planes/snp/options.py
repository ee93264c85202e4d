"""What can be chosen of an SNP machine, and its names on the command line."""

from __future__ import annotations

from typing import NamedTuple

from emu.planes import policies

C_BIT = 51                      # position of the C-bit, as on EPYC 7003 and 9004
ASID = 1
PHYS_BITS_LOST = 1              # CPUID 8000001F EBX[11:6]


class Options(NamedTuple):
    """`ciphertext`: shared accesses to private pages see AES-XEX ciphertext, not another backing; `lazy`: translations
    outlive changes of the RMP until they are flushed, as on hardware; `pvalidate_by_vmpl`: PVALIDATE is not VMPL0's
    alone (the manuals leave that open); `policy`: a name of emu/planes/policies.py."""

    policy: str = "LOWEST_RUNNABLE"
    ciphertext: bool = False
    lazy: bool = False
    pvalidate_by_vmpl: bool = False


POLICIES = ("kvm", "kvm-xex", "kvm-lazy", "kvm-xex-lazy")


def parse(name: str | None) -> Options:
    """Options by the name that `--policy` takes: one of POLICIES, or who is scheduled (emu/planes/policies.py).
    ValueError: there is none of that name."""
    if name is not None and name not in POLICIES:
        return Options(policy=policies.parse(name).name)
    words = (name or "kvm").split("-")[1:]
    return Options(ciphertext="xex" in words, lazy="lazy" in words)
