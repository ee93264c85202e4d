"""Scheduling policies: which plane of a vCPU runs, as configurations of the one compiled selector (jit/selector.py).

Each preset is what one published design does. Privilege has two independent knobs: `descending`, whether higher
numbers are more privileged (VTLs) or lower ones (VMPLs), and `marker`, a plane that takes all events.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.shared import SHARES
from jit import group_layout as g

if TYPE_CHECKING:
    from emu.group import Group
    from emu.planes.script import Script


class Policy(NamedTuple):
    """One configuration. `marker`: the most privileged plane, or None; `mediated`: it is told of events of the plane
    that it runs, too; `strict_shadow`: the STI shadow of a plane that does not run holds its interrupts back; `shares`:
    names from SHARES of what planes have in common; `upward_ipis`: planes may interrupt more privileged ones; `script`:
    the user's functions, for MODE_SCRIPT; `drops_lower_init`: INIT and SIPI to plane 0 are lost once a vCPU has a plane
    above it (TLFS, "VTL interrupts")."""

    name: str
    mode: int
    descending: bool = False
    marker: int | None = None
    irq_filter: int = g.FILTER_PRIORITY
    return_rule: int = g.RETURN_LAST
    fallback: int = 0
    mediated: bool = False
    strict_shadow: bool = False
    shares: tuple[str, ...] = ()
    upward_ipis: bool = False
    script: Script | None = None
    drops_lower_init: bool = False

    def rank(self, plane: int) -> int:
        """Privilege of a plane: smaller is more."""
        return g.MAX_PLANES - 1 - plane if self.descending else plane

    def apply(self, group: Group) -> None:
        """Put the policy in force; enabled, runnable and suspended planes stay as they are."""
        for plane in range(g.MAX_PLANES):
            group.set(g.RANK + 8 * plane, self.rank(plane))
        for offset, value in (
                (g.MODE, self.mode), (g.MPP, 0 if self.marker is None else self.marker + 1),
                (g.FILTER, self.irq_filter), (g.RETURN_RULE, self.return_rule), (g.FALLBACK, self.fallback),
                (g.MEDIATED, self.mediated), (g.STRICT_SHADOW, self.strict_shadow)):
            group.set(offset, int(value))
        if self.script is not None:
            for offset, value in ((g.SCRIPT_CHOOSE, self.script.choose), (g.SCRIPT_REQUEST, self.script.request),
                                  (g.SCRIPT_FAULT, 0)):
                group.set(offset, value)


USER = Policy("USER", g.MODE_USER, return_rule=g.RETURN_EXPLICIT)
LOWEST_RUNNABLE = Policy("LOWEST_RUNNABLE", g.MODE_RUNNABLE, marker=0, irq_filter=g.FILTER_INJECTABLE,
                         return_rule=g.RETURN_EXPLICIT)
HIGHEST_RUNNABLE = Policy("HIGHEST_RUNNABLE", g.MODE_EVENT, descending=True, drops_lower_init=True)
VSM = HIGHEST_RUNNABLE._replace(name="VSM", strict_shadow=True)
HV_TLFS_LITERAL = HIGHEST_RUNNABLE._replace(name="HV_TLFS_LITERAL", return_rule=g.RETURN_NEXT_LOWER)
TDX = Policy("TDX", g.MODE_MPP, marker=0, return_rule=g.RETURN_EXPLICIT, mediated=True)
CCA = Policy("CCA", g.MODE_MPP, marker=0, irq_filter=g.FILTER_ANY, return_rule=g.RETURN_EXPLICIT)
PRESETS = {policy.name: policy for policy in (USER, LOWEST_RUNNABLE, HIGHEST_RUNNABLE, HV_TLFS_LITERAL, TDX, CCA)}

NAMES = (*PRESETS, "MPP(n)")
UPWARD_IPIS, DESCENDING, ASCENDING = "ipi", "descending", "ascending"
EXTRAS = (*SHARES, UPWARD_IPIS, DESCENDING, ASCENDING)


def mpp(plane: int) -> Policy:
    """MPP(n): every event goes to plane n, which names the next plane itself. ValueError: no such number."""
    if not 0 <= plane < g.MAX_PLANES:
        raise ValueError(f"policy MPP({plane}): planes are numbered 0 to {g.MAX_PLANES - 1}")
    return Policy(f"MPP({plane})", g.MODE_MPP, marker=plane, return_rule=g.RETURN_EXPLICIT, fallback=plane)


def _preset(name: str) -> Policy | None:
    """A preset in any spelling."""
    marked = re.fullmatch(r"MPP[-_(]?(\d{1,9})\)?", name.upper())
    return mpp(int(marked[1])) if marked else PRESETS.get(name.upper().replace("-", "_"))


def is_name(text: str) -> bool:
    """Whether a text names a preset, whatever it adds."""
    return _preset(text.partition("+")[0]) is not None


def parse(name: str) -> Policy:
    """A preset by its name, in any case and with - for _; MPP(1) may also be written mpp-1, which shells leave alone.
    What planes share is added: user+fpu+gpr+dr; +ipi lets them interrupt more privileged ones; +descending makes higher
    numbers more privileged, +ascending lower ones, whatever plane is marked. ValueError: one line that lists all
    names."""
    base, *extras = name.split("+")
    policy = _preset(base)
    if policy is None or not {*extras} <= {*EXTRAS} or {ASCENDING, DESCENDING} <= {*extras}:
        raise ValueError(f"policy {name!r}: not one of {', '.join(NAMES)}, with "
                         f"{', '.join('+' + extra for extra in EXTRAS)} added as wanted, and no file")
    if not extras:
        return policy
    return policy._replace(name="+".join((policy.name, *extras)), upward_ipis=UPWARD_IPIS in extras,
                           descending=DESCENDING in extras or policy.descending and ASCENDING not in extras,
                           shares=tuple(extra for extra in SHARES if extra in extras))
