"""Writes docs/instructions.md: what there is of iced's instruction forms, and what a comparison with a host said."""

from __future__ import annotations

from collections import Counter, defaultdict

from emu.isa.coverage import Status, by_extension, classify, table
from tools.oracle.coverage import DIFFERS, NOT_COMPARABLE, NOT_IMPLEMENTED, NOT_ON_HOST, PASSED, Coverage
from tools.oracle.undefined_flags import TABLE

COLUMNS = (Status.IMPLEMENTED, Status.NOT_YET, Status.ABSENT)
WIDTH = 120
HEAD = """\
# Instructions

Written by `strata oracle --table docs/instructions.md`; a test checks that it agrees with `emu/isa/coverage.py`.

A Code is one encoding form of an instruction in iced-x86's list. The left half of the table says what the engine has;
the right half how it fared against a host CPU ({cpu}), in {cases:,} cases, each in the interpreter
and in compiled blocks: passed, differs, not on that host, or not comparable there (why,
see below).

"""


def document(coverage: Coverage) -> str:
    """The page, after a comparison of all families."""
    best: dict[int, str] = {}
    for form, outcome in coverage.outcome.items():
        if ORDER.index(outcome) < ORDER.index(best.get(form.code, ORDER[-1])):
            best[form.code] = outcome
    cases = sum(tally.cases for tally in coverage.tallies.values())
    parts = [HEAD.format(cpu=_cpu(), cases=cases), "## By extension\n\n", *_extensions(best)]
    parts += ["\n## Not comparable on a host\n\n", *_incomparable(coverage)]
    parts += ["\n## Deliberately absent\n\nThese raise #UD, or do nothing where the manual says so.\n\n", *_absent()]
    parts += ["\n## Undefined flags\n\nWhat the manual leaves undefined the engine does as Intel's current processors "
              "do, where all of it is stable. OF after rotates alone is as on an 80386, whose results test386.asm "
              "checks; current processors set it as a rotate of the same operand by 1 would.\n\n", *_flags()]
    return "".join(parts)


ORDER = (DIFFERS, NOT_IMPLEMENTED, PASSED, NOT_ON_HOST, NOT_COMPARABLE, "absent by design")


def extension_rows() -> list[str]:
    """The left half of the table's rows: what the classification says."""
    return [f"| {name} | {' | '.join(str(counts[status]) for status in COLUMNS)} |"
            for name, counts in by_extension().items()]


def _extensions(best: dict[int, str]) -> list[str]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in table():
        if entry.status is Status.IMPLEMENTED:
            found["+".join(entry.features)][best.get(entry.code, NOT_COMPARABLE)] += 1
    lines = ["| extension | implemented | not yet | absent | passed | differs | not on the host | not comparable |\n",
             "|---|--:|--:|--:|--:|--:|--:|--:|\n"]
    for row, name in zip(extension_rows(), by_extension(), strict=True):
        counts = found[name]
        right = " | ".join(str(counts[outcome]) for outcome in (PASSED, DIFFERS, NOT_ON_HOST, NOT_COMPARABLE))
        lines.append(f"{row} {right} |\n")
    return lines


def _incomparable(coverage: Coverage) -> list[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for form, outcome in coverage.outcome.items():
        if outcome == NOT_COMPARABLE and form.name not in names[coverage.why[form]]:
            names[coverage.why[form]].append(form.name)
    return [_item(why, found) for why, found in sorted(names.items())]


def _absent() -> list[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for entry in table():
        if entry.status is Status.ABSENT:
            mnemonic = "+".join(entry.features)
            if mnemonic not in names[classify(entry.code).reason]:
                names[entry.reason].append(mnemonic)
    return [_item(why, found) for why, found in sorted(names.items())]


def _item(head: str, names: list[str]) -> str:
    """A list item, in lines of the usual width."""
    lines = [f"- {head}:"]
    for name in names:
        if len(lines[-1]) + len(name) + 1 > WIDTH:
            lines.append(" ")
        lines[-1] += f" {name}"
    return "\n".join(lines) + "\n"


def _flags() -> list[str]:
    lines = ["| after | when | undefined | they become |\n", "|---|---|---|---|\n"]
    return lines + [f"| {' '.join(row.mnemonics)} | {row.when or 'always'} | {row.flag_names} | {row.become} |\n"
                    for row in TABLE]


def _cpu() -> str:
    """The host's family and model, which say more than its name where that is a hypervisor's."""
    found: dict[str, str] = {}
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return f"{found.get('vendor_id', '?')} family {found.get('cpu family', '?')} model {found.get('model', '?')}"
