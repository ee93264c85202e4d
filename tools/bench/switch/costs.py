"""The cost model: a price in cycles for each kind of event, from a TOML file that says where each comes from.

A file has `title`, `mhz` (cycles in a microsecond), `designs` (plane designs that such hosts really run), and a table
for each key of PRICES: `cycles`, with `low` and `high` where it is known no better than that, and either `source` or
`assumption`. `include` names a set from which what is not given is taken.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench.switch.counts import PARTS
from tools.bench.switch.scenario import FAMILIES

DIRECTORY = Path(__file__).resolve().parents[1] / "costs"
GUEST, WORLD, USERSPACE, STATE, FPU, TLB, ROUTING, SCHEDULING = (
    "guest code", "world switch", "userspace exit", "state save", "FPU", "TLB", "routing", "scheduling")
CAUSES = (GUEST, WORLD, USERSPACE, STATE, FPU, TLB, ROUTING, SCHEDULING)


class Kind(NamedTuple):
    """What a price is for: the counts it is multiplied with, the cause its cycles belong to, its meaning."""

    counts: tuple[str, ...]
    cause: str
    meaning: str


PRICES: dict[str, Kind] = {
    "instruction": Kind(("instructions",), GUEST, "an instruction of the guest"),
    "memory_access": Kind(("reads", "writes"), GUEST, "a read or write of memory, beyond its instruction"),
    "world_switch": Kind(("exits",), WORLD, "from the guest to the hypervisor and back"),
    "plane_context": Kind(("switches",), WORLD, "making another control block the current one"),
    "userspace_exit": Kind(("userspace_exits",), USERSPACE, "from the hypervisor to the VMM and back"),
    **{f"state_{part}": Kind((f"state_{part}",), STATE, f"saving one of the {part} registers and loading another's")
       for part in PARTS},
    "fpu_switch": Kind(("fpu_switches",), FPU, "XSAVE and XRSTOR, whatever the size"),
    "fpu_byte": Kind(("fpu_bytes",), FPU, "... and for each byte of the image"),
    "tlb_fill": Kind(("tlb_fills",), TLB, "a translation that was not there, beyond its walk"),
    "walk_step": Kind(("walk_steps",), TLB, "an entry of the guest's paging structures, nested walk included"),
    "tlb_switch": Kind(("switches",), TLB, "translations lost by changing planes"),
    "interrupt_routed": Kind(("routed",), ROUTING, "finding the plane, setting IRR"),
    "interrupt_delivered": Kind(("deliveries",), ROUTING, "injection, and the processor's way to the handler"),
    "apic_access": Kind(("apic_accesses",), ROUTING, "RDMSR or WRMSR of an APIC register, EOI above all"),
    "decision": Kind(("decisions",), SCHEDULING, "which plane runs, in the hypervisor"),
    "userspace_decision": Kind(("userspace_exits",), SCHEDULING, "which plane runs, in the VMM"),
}
ENTRY_KEYS = {"cycles", "low", "high", "source", "assumption"}


class CostError(ValueError):
    """A cost file cannot be used; one line that names file, key and rule."""


class Price(NamedTuple):
    """Cycles, the range in which they may lie, and where the number is from, or why it was assumed."""

    cycles: float
    low: float
    high: float
    source: str
    assumed: bool


class Costs(NamedTuple):
    """A price list. `name`: of a set, or the file's."""

    name: str
    title: str
    mhz: float
    designs: tuple[str, ...]
    prices: Mapping[str, Price]

    def cycles(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Cycles by price."""
        return {name: self.prices[name].cycles * amount(name, counts) for name in PRICES}

    def by_cause(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Cycles by cause."""
        found = dict.fromkeys(CAUSES, 0.0)
        for name, cycles in self.cycles(counts).items():
            found[PRICES[name].cause] += cycles
        return found

    def total(self, counts: Mapping[str, int]) -> float:
        """All cycles."""
        return sum(self.cycles(counts).values())


def amount(price: str, counts: Mapping[str, int]) -> int:
    """How many times a price is paid."""
    return sum(counts[name] for name in PRICES[price].counts)


def names() -> tuple[str, ...]:
    """The sets that come with Strata."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob("*.toml")))


def load(name: str) -> Costs:
    """A set by name, or a file. CostError."""
    if name in names():
        return read(DIRECTORY / f"{name}.toml", name)
    if not Path(name).is_file():
        raise CostError(f"costs {name!r}: neither a file nor one of {', '.join(names())}")
    return read(Path(name), Path(name).name)


def read(path: Path, name: str) -> Costs:
    """Read a price list. CostError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CostError(f"{path}: {str(error).splitlines()[0]}") from None
    prices: dict[str, Price] = {}
    base = data.pop("include", None)
    included = None
    if base is not None:
        if base not in names() or base == name:
            raise CostError(f"{path}: include: {base!r} is not one of {', '.join(n for n in names() if n != name)}")
        included = load(base)
        prices |= included.prices
    title = data.pop("title", included and included.title)
    mhz = data.pop("mhz", included and included.mhz)
    designs = data.pop("designs", included and list(included.designs))
    if not isinstance(title, str):
        raise CostError(f"{path}: title: must be a text")
    if not _number(mhz) or mhz <= 0:
        raise CostError(f"{path}: mhz: must be a number above 0")
    if not isinstance(designs, list) or not set(designs) <= FAMILIES.keys():
        raise CostError(f"{path}: designs: must be a list of {', '.join(FAMILIES)}")
    for key, entry in data.items():
        prices[key] = _price(path, key, entry)
    missing = [key for key in PRICES if key not in prices]
    if missing:
        raise CostError(f"{path}: {missing[0]}: is missing; every price must be given, or a set included")
    return Costs(name, title, float(mhz), tuple(designs), prices)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _price(path: Path, key: str, entry: Any) -> Price:
    if key not in PRICES:
        raise CostError(f"{path}: {key}: no such price; there are {', '.join(PRICES)}")
    if not isinstance(entry, dict) or "cycles" not in entry:
        raise CostError(f"{path}: {key}: must be a table with cycles")
    for name in entry:
        if name not in ENTRY_KEYS:
            raise CostError(f"{path}: {key}.{name}: not one of {', '.join(sorted(ENTRY_KEYS))}")
    cycles = entry["cycles"]
    low, high = entry.get("low", cycles), entry.get("high", cycles)
    for name, value in (("cycles", cycles), ("low", low), ("high", high)):
        if not _number(value):
            raise CostError(f"{path}: {key}.{name}: must be a number, 0 or more")
    if not low <= cycles <= high:
        raise CostError(f"{path}: {key}: low {low:g}, cycles {cycles:g}, high {high:g} are not in that order")
    said = [name for name in ("source", "assumption") if name in entry]
    if len(said) != 1 or not isinstance(entry[said[0]], str) or not entry[said[0]].strip():
        raise CostError(f"{path}: {key}: must have either a source or an assumption, as text")
    return Price(float(cycles), float(low or 0), float(high or 0), entry[said[0]], said[0] == "assumption")
