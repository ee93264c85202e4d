"""Compares every vector instruction form that the engine implements with the host CPU.

    python -m tools.oracle.vector [--cases N] [--seed N] [--bits 32|64] [--only NAME ...] [--all] [--engine blocks]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

from iced_x86 import Code, CpuidFeature, EncodingKind, OpCodeInfo, OpCodeOperandKind, Register

from emu.decode import lowering
from emu.decode.names import code_name
from tools.oracle.arena import CODE, SLOT, SLOTS
from tools.oracle.case import Case
from tools.oracle.compare import Comparison
from tools.oracle.encode import available, random_encoding
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable
from tools.oracle.vector_values import VectorBuilder

_OPERANDS = {v: n for n in dir(OpCodeOperandKind) if not n.startswith("_")
             and isinstance(v := getattr(OpCodeOperandKind, n), int)}
_VECTOR = ("XMM", "YMM", "ZMM", "MM_", "K_", "KP1_")
_STATE = ("FXSAVE_M512BYTE", "FXSAVE64_M512BYTE", "FXRSTOR_M512BYTE", "FXRSTOR64_M512BYTE", "LDMXCSR_M32",
          "STMXCSR_M32", "VEX_VLDMXCSR_M32", "VEX_VSTMXCSR_M32", "EMMS", "VEX_VZEROALL", "VEX_VZEROUPPER")
# What this kind of host has; others are not compared.
_SUPPORTED = {"MMX", "SSE", "SSE2", "SSE3", "SSSE3", "SSE4_1", "SSE4_2", "AVX", "AVX2", "FMA", "F16C", "AES",
              "PCLMULQDQ", "SHA", "GFNI", "VAES", "VPCLMULQDQ", "FXSR", "MOVBE", "AVX_VNNI", "AVX512F",
              "AVX512VL", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512_IFMA", "AVX512_VBMI", "AVX512_VBMI2",
              "AVX512_VNNI", "AVX512_BITALG", "AVX512_VPOPCNTDQ", "AVX512_BF16", "AVX512_FP16"}
_FEATURE_NAMES = {getattr(CpuidFeature, n): n for n in dir(CpuidFeature) if not n.startswith("_")}


def vector_codes(bits: int) -> list[int]:
    """The lowered forms with a vector operand."""
    lowering.load_families()
    found = []
    for name in dir(Code):
        code = getattr(Code, name)
        if name.startswith("_") or not isinstance(code, int):
            continue
        info = OpCodeInfo(code)
        kinds = [_OPERANDS[kind] for kind in info.op_kinds()]
        if (info.encoding in (EncodingKind.LEGACY, EncodingKind.VEX, EncodingKind.EVEX) and available(code, bits)
                and (code in lowering.CODES or info.mnemonic in lowering.TABLE)
                and (any(kind.startswith(_VECTOR) or "VSIB" in kind for kind in kinds) or name in _STATE)):
            found.append(code)
    return found


def lacking(code: int, bits: int) -> str | None:
    """A feature of the form that hosts are not taken to have, or None."""
    encoded = random_encoding(code, bits, Random(code))
    names = {_FEATURE_NAMES[feature] for feature in encoded.insn.cpuid_features()} if encoded else set()
    return next(iter(sorted(names - _SUPPORTED)), None)


def cases(codes: list[int], bits: int, count: int, seed: int) -> Iterator[Case]:
    """`count` cases of each form."""
    slot = 0
    for code in codes:
        rng = Random(f"{seed} {bits} {code_name(code)}")
        for _ in range(count):
            encoded = random_encoding(code, bits, rng)
            if encoded is None:
                break
            if bits == 32 and encoded.insn.segment_prefix in (Register.FS, Register.GS):
                continue                # the host's are null
            yield VectorBuilder(encoded, bits, rng).build(CODE.address + slot % SLOTS * SLOT)
            slot += 1


def main(arguments: list[str] | None = None) -> int:
    """Compare and print the differences, one line each. Exit status 1 where there are any, 2 without an oracle."""
    parser = argparse.ArgumentParser(prog="python -m tools.oracle.vector", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=100, metavar="N", help="cases of each form (default 100)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--bits", type=int, choices=(32, 64), help="size of code (default: both)")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="forms whose name has this, as PADDB")
    parser.add_argument("--all", action="store_true", help="every difference, not the first of each form")
    parser.add_argument("--engine", choices=("interp", "blocks"), default="interp")
    options = parser.parse_args(arguments)
    try:
        host = Host()
    except HostUnavailable as why:
        print(f"oracle: {why}", file=sys.stderr)
        return 2
    status = 0
    with host:
        guest = Guest(options.engine)
        for bits in (options.bits,) if options.bits else (64, 32):
            codes = [c for c in vector_codes(bits) if not lacking(c, bits)
                     and (not options.only or any(o in code_name(c) for o in options.only))]
            comparison = Comparison(host, guest, options.seed)
            shown: Counter[str] = Counter()
            for difference in comparison.run(cases(codes, bits, options.cases, options.seed)):
                status = 1
                name = difference.text.split(" ")[0]
                shown[name] += 1
                if options.all or shown[name] == 1:
                    print(difference)
            if shown:
                print(f"differences: {dict(shown)}", file=sys.stderr)
            if comparison.unimplemented:
                names = sorted(comparison.unimplemented)
                print(f"not implemented: {' '.join(names)}", file=sys.stderr)
            print(f"{bits}-bit code: {len(codes)} forms, {comparison.count} cases, {guest.engine.regions.compiled} "
                  "regions", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
