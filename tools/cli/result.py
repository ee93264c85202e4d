"""The result of a run as data: what `--json` writes and the report reads."""
import argparse
import json
import math
from typing import Any

PLANE_NAMES = {"vsm": "VTL{}", "snp": "VMPL{}", "kvm": "plane {}", "none": "plane {}"}


def plane_name(design: str, plane: int | str) -> str:
    """A plane as its design's manual calls it: VTL1 (TLFS 15), VMPL0 (APM 15.36.7), plane 2."""
    return plane if isinstance(plane, str) else PLANE_NAMES[design].format(plane)


def result_of(args: argparse.Namespace, machine: Any, stop: Any) -> dict[str, Any]:
    """Everything worth keeping of a finished run: `args` of `strata run`, its `Machine` and the `Stop`.

    `instructions` counts all vCPUs; `seconds` is host time spent in the guest; `switches` are in order.
    """
    return {
        "image": args.image or args.bios,
        "status": stop.status & 0xff,
        "reason": stop.reason,
        "message": stop.message,
        "vcpu": stop.vcpu,
        "plane": stop.plane,
        "rip": stop.rip,
        "instructions": machine.icount,
        "seconds": machine.seconds,
        "engine": args.engine,
        "planes": args.planes,
        "policy": args.policy,
        "vcpus": args.vcpus,
        "memory": args.mem,
        "cpu": args.cpu,
        "seed": args.seed,
        "quantum": args.quantum,
        "counters": dict(machine.counters),
        "intercepts": list(machine.intercepts),
        "switches": [dict(switch) for switch in machine.switches],
    }


def write(path: str, result: dict[str, Any]) -> None:
    """Write `result` to `path` as JSON, one switch a line; raises OSError."""
    result = dict(result)
    switches = result.pop("switches", None)
    text = json.dumps(result, indent=1, default=_plain)
    if switches is not None:
        rows = ",\n  ".join(json.dumps(switch, default=_plain) for switch in switches)
        text = f"{text[:-2]},\n \"switches\": [{f'{chr(10)}  {rows}{chr(10)} ' if rows else ''}]\n}}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as the numbers and lists that they hold."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a result")


def si(number: float) -> str:
    """A count for people: 812, 48.2 k, 5.61 M, 1.75 G."""
    if number < 1000:
        return f"{number:.0f}"
    power = min(int(math.log10(number) // 3), 4)
    scaled = number / 1000 ** power
    if scaled >= 999.5 and power < 4:
        power, scaled = power + 1, scaled / 1000
    return f"{scaled:.3g} {'kMGT'[power - 1]}"
