"""Compares every integer instruction form that the engine implements with the host CPU.

    python -m tools.oracle.integer [--cases N] [--seed N] [--bits 32|64] [--only NAME ...] [--all]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from random import Random

from iced_x86 import Code, CpuidFeature, EncodingKind, OpCodeInfo, OpCodeOperandKind

from emu.decode import lowering
from emu.decode.names import code_name, mnemonic_name
from tools.oracle.arena import CODE, SLOT, SLOTS
from tools.oracle.case import Case
from tools.oracle.compare import Comparison
from tools.oracle.encode import available, random_encoding
from tools.oracle.generate import Builder
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable, cpu_flags

FAMILIES = {f"emu.decode.lower_{name}" for name in (
    "move", "alu", "shift", "muldiv", "bits", "bcd", "exchange", "flags", "control", "stack", "string")}
EXCLUDED = {"RDPID", "SALC"}        # the machine's own answer; not in Intel's manual
_PLAIN = ("R8", "R16", "R32", "R64", "IMM", "AL", "AX", "EAX", "RAX", "CL", "DX", "MEM", "BR", "ES_RDI", "SEG_RSI",
          "SEG_RBX_AL", "SEG_RDI", "NONE")
_FEATURES = {"ADX": "adx", "BMI1": "bmi1", "BMI2": "bmi2", "MOVBE": "movbe", "POPCNT": "popcnt", "LZCNT": "abm",
             "SSE4_2": "sse4_2", "CLWB": "clwb", "CLFLUSHOPT": "clflushopt", "MOVDIRI": "movdiri",
             "SERIALIZE": "serialize", "PREFETCHITI": "prefetchiti", "PREFETCHW": "3dnowprefetch", "CX8": "cx8",
             "CMPXCHG16B": "cx16", "CLDEMOTE": "cldemote", "RDPID": "rdpid"}
_FEATURE_NAMES = {getattr(CpuidFeature, n): n for n in dir(CpuidFeature) if not n.startswith("_")}


def _operand_names() -> dict[int, str]:
    return {v: n for n in dir(OpCodeOperandKind) if not n.startswith("_")
            and isinstance(v := getattr(OpCodeOperandKind, n), int)}


_OPERANDS = _operand_names()


def integer_codes(bits: int) -> list[int]:
    """The forms to compare: those that the engine lowers, of general registers, memory and immediates alone."""
    lowering.load_families()
    found = []
    for name in dir(Code):
        code = getattr(Code, name)
        if name.startswith("_") or not isinstance(code, int):
            continue
        info = OpCodeInfo(code)
        function = lowering.CODES.get(code) or lowering.TABLE.get(info.mnemonic)
        if function is None or function.__module__ not in FAMILIES:
            continue
        kinds = [_OPERANDS[kind] for kind in info.op_kinds()]
        if (info.encoding in (EncodingKind.LEGACY, EncodingKind.VEX) and available(code, bits)
                and all(kind.startswith(_PLAIN) and "VSIB" not in kind and "MPX" not in kind for kind in kinds)
                and not name.startswith(("RESERVEDNOP", "CALL_M", "JMP_M"))         # far branches
                and mnemonic_name(info.mnemonic) not in EXCLUDED):
            found.append(code)
    return found


def lacking(code: int, bits: int, flags: set[str]) -> str | None:
    """The feature that the host lacks for a form, or None."""
    encoded = random_encoding(code, bits, Random(code))
    for feature in encoded.insn.cpuid_features() if encoded else ():
        flag = _FEATURES.get(_FEATURE_NAMES[feature])
        if flag and flag not in flags:
            return flag
    return None


def cases(codes: list[int], bits: int, count: int, seed: int) -> Iterator[Case]:
    """`count` cases of each form; a form that cannot be encoded gives none."""
    slot = 0
    for code in codes:
        rng = Random(f"{seed} {bits} {code_name(code)}")
        for _ in range(count):
            encoded = random_encoding(code, bits, rng)
            if encoded is None:
                break
            yield Builder(encoded, bits, rng).build(CODE.address + slot % SLOTS * SLOT)
            slot += 1


def main(arguments: list[str] | None = None) -> int:
    """Compare and print the differences, one line each. Exit status 1 where there are any, 2 without an oracle."""
    parser = argparse.ArgumentParser(prog="python -m tools.oracle.integer", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=200, metavar="N", help="cases of each form (default 200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--bits", type=int, choices=(32, 64), help="size of code (default: both)")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="forms whose name starts so, as SHL_RM")
    parser.add_argument("--all", action="store_true", help="every difference, not the first of each form")
    options = parser.parse_args(arguments)
    try:
        host = Host()
    except HostUnavailable as why:
        print(f"oracle: {why}", file=sys.stderr)
        return 2
    status = 0
    with host:
        guest = Guest()
        flags = cpu_flags()
        for bits in (options.bits,) if options.bits else (64, 32):
            codes = [c for c in integer_codes(bits)
                     if not options.only or code_name(c).startswith(tuple(options.only))]
            for feature in sorted({f for c in codes if (f := lacking(c, bits, flags))}):
                print(f"oracle: this CPU lacks {feature}; its instructions are not compared", file=sys.stderr)
            codes = [c for c in codes if not lacking(c, bits, flags)]
            comparison = Comparison(host, guest, options.seed)
            shown: set[str] = set()
            for difference in comparison.run(cases(codes, bits, options.cases, options.seed)):
                status = 1
                name = difference.text.split(" ")[0]
                if options.all or name not in shown:
                    print(difference)
                shown.add(name)
            for text in sorted(comparison.unimplemented):
                print(f"not implemented: {text}", file=sys.stderr)
            print(f"{bits}-bit code: {len(codes)} forms, {comparison.count} cases", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
