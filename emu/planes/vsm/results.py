"""Results that a VTL registered for CPUID and MSR accesses of lower ones, so that it need not intercept them (TLFS,
HvCallRegisterInterceptResult, HV_REGISTER_INTERCEPT_RESULT_PARAMETERS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.installed import LIMIT, READ, WRITE

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

Answer = tuple[int, int, int, int]              # EAX, EBX, ECX, EDX
ALL_SUBLEAVES = -1
ACTION_FAULT, ACTION_IGNORE_WRITE_READ_ZERO = 0, 1      # HV_UNIMPLEMENTED_MSR_ACTION


class Results:
    """The registered results of a partition. Keys start with the VTL that registered them and the virtual processor, or
    VP_ANY for all."""

    def __init__(self) -> None:
        # (..., leaf, subleaf) -> whether an intercept gives way, values, masks of the bits that count
        self._cpuid: dict[tuple[int, int, int, int], tuple[bool, Answer, Answer]] = {}
        self._ignored: dict[tuple[int, int, int], int] = {}      # (..., MSR) -> accesses that do nothing

    def set_cpuid(self, owner: int, vp: int, leaf: int, subleaf: int, always: bool, values: Answer,
                  masks: Answer) -> None:
        """Replace the masked bits of a leaf's result, before any intercept if `always`. HvError: there are too many."""
        key = owner, vp, leaf, subleaf
        if key not in self._cpuid and len(self._cpuid) >= LIMIT:
            raise HvError(codes.INSUFFICIENT_MEMORY)
        self._cpuid[key] = always, values, masks

    def drop_cpuid(self, owner: int, vp: int, leaf: int, subleaf: int) -> bool:
        """Whether there was one."""
        return self._cpuid.pop((owner, vp, leaf, subleaf), None) is not None

    def cpuid(self, vp: Vp, vtl: int, leaf: int, subleaf: int, default: Answer) -> tuple[Answer, bool, bool]:
        """The result for a VTL, whether anybody registered it, and whether an intercept gives way to it."""
        registered = always = False
        for owner in reversed(vp.higher(vtl)):
            for index in (codes.VP_ANY, vp.index):
                for sub in (ALL_SUBLEAVES, subleaf):
                    found = self._cpuid.get((owner, index, leaf, sub))
                    if found is not None:
                        first, values, masks = found
                        registered, always = True, always or first
                        a, b, c, d = (old & ~mask | value & mask
                                      for old, value, mask in zip(default, values, masks, strict=True))
                        default = a, b, c, d
        return default, registered, always

    def set_msr(self, owner: int, vp: int, index: int, accesses: int, action: int) -> None:
        """What accesses to an MSR do that nobody implements. HvError: there are too many."""
        key = owner, vp, index
        if key not in self._ignored and len(self._ignored) >= LIMIT:
            raise HvError(codes.INSUFFICIENT_MEMORY)
        old = self._ignored.get(key, 0)
        self._ignored[key] = old | accesses if action else old & ~accesses

    def drop_msr(self, owner: int, vp: int, index: int, accesses: int) -> bool:
        """Whether there was one."""
        key = owner, vp, index
        old = self._ignored.pop(key, 0)
        if old & ~accesses:
            self._ignored[key] = old & ~accesses
        return bool(old & accesses)

    def ignores(self, vp: Vp, vtl: int, index: int, write: bool) -> bool:
        """Whether a VTL's access to an MSR that nobody implements does nothing."""
        access = WRITE if write else READ
        return any(self._ignored.get((owner, which, index), 0) & access
                   for owner in vp.higher(vtl) for which in (codes.VP_ANY, vp.index))

    def has_msrs(self) -> bool:
        """Whether any result for an MSR was ever registered."""
        return bool(self._ignored)

    def clear(self) -> None:
        """As after a reset."""
        self._cpuid.clear()
        self._ignored.clear()
