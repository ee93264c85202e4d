"""A VMPL of a vCPU as the processor knows it: the VMSA that VMRUN is given, and what was loaded from it."""

from __future__ import annotations

from emu.planes.snp import vmsa


class Context:
    """One (vCPU, plane). `page`: system-physical page of its VMSA, or None; `vmpl` and `features`: what the page said
    when it was last run; `saved`: the page as #VMEXIT left it, to tell whether anyone wrote to it since."""

    NOT_STATE = ("saved",)                  # it only tells whether registers must be loaded, and compiled code has none

    def __init__(self, number: int) -> None:
        self.number = number
        self.page: int | None = None
        self.vmpl = number
        self.features = 0
        self.saved = b""

    def has(self, feature: int) -> bool:
        """Whether a bit of SEV_FEATURES is in force."""
        return bool(self.features & feature)


class Vp:
    """The planes of one vCPU. `exited`: the active one is not between VMRUN and #VMEXIT. `eventinj`: of the VMCB, for
    the next VMRUN."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.contexts = [Context(0)]
        self.exited = True
        self.eventinj = 0


def described(features: int) -> str:
    """SEV_FEATURES for people."""
    return "+".join(name for bit, name in vmsa.FEATURE_NAMES.items() if features & bit) or "none"
