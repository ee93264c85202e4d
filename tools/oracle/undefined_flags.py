"""The status flags that the manual leaves undefined (SDM Vol. 1 appendix A and each instruction's page in Vol. 2), and
what Intel's current processors do with them, which the engine does, too, but for OF after rotates: there it follows
the 80386, whose results test386.asm has.

On the processor that the engine was made after, all of them are stable: the same operands always give the same flags,
so that comparisons leave none out. On one of another vendor, which may have decided otherwise, they are left out.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from iced_x86 import Mnemonic

CF, PF, AF, ZF, SF, OF = 1, 4, 0x10, 0x40, 0x80, 0x800
NAMES = {CF: "CF", PF: "PF", AF: "AF", ZF: "ZF", SF: "SF", OF: "OF"}


class Undefined(NamedTuple):
    """Mnemonics, the flags that are undefined after them, when, and what they become."""

    mnemonics: tuple[str, ...]
    flags: int
    when: str
    become: str
    stable: bool = True         # not stable, or not the host's: left out of comparisons on every host

    @property
    def flag_names(self) -> str:
        """The flags, as CF OF."""
        return " ".join(name for bit, name in NAMES.items() if self.flags & bit)


TABLE = (
    Undefined(("AND", "OR", "XOR", "TEST"), AF, "", "cleared"),
    Undefined(("ANDN", "BLSI", "BLSMSK", "BLSR", "BZHI"), AF | PF, "", "cleared"),
    Undefined(("BEXTR",), AF | SF | PF, "", "cleared"),
    Undefined(("LZCNT", "TZCNT"), OF | SF | PF | AF, "", "cleared"),
    Undefined(("BSF", "BSR"), CF | OF | SF | AF | PF, "", "PF from the result, the others cleared"),
    Undefined(("BT", "BTS", "BTR", "BTC"), OF | SF | AF | PF, "", "unchanged"),
    Undefined(("MUL", "IMUL"), SF | ZF | AF | PF, "", "SF and PF from the low half of the product; ZF and AF cleared"),
    Undefined(("DIV", "IDIV"), CF | OF | SF | ZF | AF | PF, "", "unchanged"),
    Undefined(("AAA", "AAS"), OF | SF | ZF | PF, "", "SF, ZF and PF from AL; OF cleared"),
    Undefined(("AAD",), OF | AF | CF, "", "as of the addition of AH times the base to AL"),
    Undefined(("AAM",), OF | AF | CF, "", "cleared"),
    Undefined(("DAA", "DAS"), OF, "", "cleared"),
    Undefined(("SHL", "SAL", "SHR", "SAR"), AF, "the count is not 0", "cleared"),
    Undefined(("SHL", "SAL"), OF, "the count is above 1", "the top two bits of the operand differ before the shift"),
    Undefined(("SHR",), OF, "the count is above 1", "the operand's top bit before the shift"),
    Undefined(("SAR",), OF, "the count is above 1", "cleared"),
    Undefined(("SHL", "SAL", "SHR"), CF, "the count is the operand's size or more", "the last bit shifted out: of the "
              "operand where the count is its size, else 0"),
    Undefined(("ROL", "ROR", "RCL", "RCR"), OF, "the count is not 1",
              "as by the count of 1 that gives the same result", stable=False),
    Undefined(("SHLD", "SHRD"), AF, "the count is not 0", "cleared"),
    Undefined(("SHLD", "SHRD"), OF, "the count is above 1", "as by a count of 1"),
    Undefined(("SHLD", "SHRD"), CF | SF | ZF | PF, "the count is above the operand's 16 bits",
              "from the result, in which the destination's own bits follow the source's"),
)

NOT_THE_HOSTS = frozenset(getattr(Mnemonic, name) for row in TABLE if not row.stable for name in row.mnemonics)


@cache
def _intel() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return "GenuineIntel" in file.read()
    except OSError:
        return False


@cache
def ignored_flags(mnemonic: int, intel: bool | None = None) -> int:
    """RFLAGS bits that a comparison of the mnemonic ignores on a host whose CPU is Intel's, or not (None: this one)."""
    stable = _intel() if intel is None else intel
    ignored = 0
    for row in TABLE:
        if not (stable and row.stable) and any(getattr(Mnemonic, name) == mnemonic for name in row.mnemonics):
            ignored |= row.flags
    return ignored
