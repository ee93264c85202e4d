"""Comparing with results of before: a path must not become longer, and the line that says so names the instruction."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tools.bench.switch.counts import NAMES
from tools.bench.switch.measure import Result
from tools.bench.switch.result import VERSION

ADDRESS = re.compile(r"\b[0-9A-Fa-f]{5,}h\b")
STEP = re.compile(r"(\d+) ([^:]*): (.*)")


def read(path: str) -> dict[str, Any]:
    """Results that --json wrote. ValueError: one line that names file, field and rule."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"--baseline {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError(f"--baseline {path}: version: must be {VERSION}")
    found = {}
    for n, entry in enumerate(data.get("paths", ())):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ValueError(f"--baseline {path}: paths[{n}].name: must be a text")
        steps, variants = entry.get("path"), entry.get("variants")
        if not isinstance(steps, list) or not all(isinstance(each, str) and STEP.fullmatch(each) for each in steps):
            raise ValueError(f"--baseline {path}: paths[{n}].path: must be a list of 'PLANE PLACE: INSTRUCTION'")
        if not isinstance(variants, list) or not all(_is_variant(each) for each in variants):
            raise ValueError(f"--baseline {path}: paths[{n}].variants: each must have fpu, tlb and counts")
        found[entry["name"]] = entry
    return found


def _is_variant(entry: Any) -> bool:
    return (isinstance(entry, dict) and isinstance(entry.get("counts"), dict) and {"fpu", "tlb"} <= entry.keys()
            and all(isinstance(entry["counts"].get(name), int) for name in NAMES))


def compare(before: Mapping[str, Any], results: Sequence[Result], name: str) -> tuple[list[str], list[str]]:
    """What became worse, and what is otherwise different, a line each."""
    worse, notes = [], []
    for result in results:
        scenario = result.scenario.name
        old = before.get(scenario)
        if old is None:
            notes.append(f"{scenario}: not in {name}")
            continue
        if len(result.path) > len(old["path"]):
            worse.append(f"{scenario}: {len(result.path)} instructions, {len(old['path'])} in {name}: "
                         f"{first_new(old['path'], result.path)}")
            continue
        if len(result.path) < len(old["path"]):
            notes.append(f"{scenario}: {len(result.path)} instructions, {len(old['path'])} in {name}: make a new one")
        for variant in result.variants:
            was = next((each["counts"] for each in old["variants"]
                        if (each["fpu"], each["tlb"]) == (variant.fpu, variant.tlb)), None)
            now = variant.counts.flat()
            more = [each for each in NAMES if was is not None and now[each] > was[each]]
            if was is not None and more:
                worse.append(f"{scenario}, {variant.fpu} FPU, {variant.tlb} TLB: {now[more[0]]} {more[0]}, "
                             f"{was[more[0]]} in {name}")
    return worse, notes


def first_new(old: Sequence[str], new: Sequence[tuple[int, str, str]]) -> str:
    """The first instruction that was not there: where it is, and after which one. Addresses may have moved."""
    def key(plane: int, text: str) -> tuple[int, str]:
        return plane, ADDRESS.sub("ADDRESS", text)
    past = [key(int(found[1]), found[3]) for each in old if (found := STEP.fullmatch(each))]
    matcher = SequenceMatcher(None, past, [key(plane, text) for plane, _, text in new], autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind in ("insert", "replace") and end > start:
            plane, place, text = new[start]
            after = f", after {new[start - 1][2]} at {new[start - 1][1]}" if start else ""
            return f"new is {text} at {place} in plane {plane}, number {start + 1} of the path{after}"
    return "the same instructions, more often"
