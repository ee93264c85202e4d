"""Compares every x87 instruction form with the host CPU.

    python -m tools.oracle.x87 [--cases N] [--seed N] [--bits 32|64] [--only NAME ...] [--all] [--engine blocks]

Transcendental results may differ by one unit in the last place, and then in C1 (SDM Vol. 1 8.3.10).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

from iced_x86 import Code, EncodingKind, Instruction, MemorySize, Mnemonic, OpCodeInfo, Register

from emu.decode import lowering
from emu.decode.names import code_name
from tools.oracle.arena import CODE, SLOT, SLOTS
from tools.oracle.case import ZMM_BYTES, ZMMS, Case, Outcome, VectorState
from tools.oracle.compare import Comparison
from tools.oracle.encode import available, random_encoding
from tools.oracle.generate import Builder, value
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable
from tools.oracle.vector_values import double, single

MXCSR_DEFAULT = 0x1F80
TRANSCENDENTAL = {Mnemonic.F2XM1, Mnemonic.FYL2X, Mnemonic.FYL2XP1, Mnemonic.FPTAN, Mnemonic.FPATAN, Mnemonic.FSIN,
                  Mnemonic.FCOS, Mnemonic.FSINCOS}
C1 = 0x200
EXTENDED = (MemorySize.FLOAT80, MemorySize.BCD)
SIGNIFICANDS = (0, 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 63) + 0x3FF,
                (1 << 63) + 0x400, (1 << 63) + 0x401, (1 << 63) + (1 << 39), (1 << 63) + (1 << 39) + 1,
                (1 << 63) + (1 << 40), (1 << 63) + (1 << 62), (1 << 64) - 1, (1 << 64) - 2, 0xFFFFFFFFFFFFFC00,
                0xFFFFFFFFFFFFFBFF, 0xFFFFFF8000000000, 0xFFFFFF7FFFFFFFFF, 0xC90FDAA22168C235)
EXPONENTS = (0, 0, 1, 2, 0x3F, 0x40, 0x1FFF, 0x3F81, 0x3F6A, 0x3C01, 0x3BCD, 0x3FBE, 0x3FFD, 0x3FFE, 0x3FFF,
             0x4000, 0x400D, 0x400E, 0x401D, 0x401E, 0x403A, 0x403C, 0x403D, 0x403E, 0x407E,
             0x407F, 0x43FE, 0x43FF, 0x5FFE, 0x7FFE, 0x7FFF)


def extended(rng: Random) -> bytes:
    """The 10 bytes of an extended-precision value; unsupported ones, NaNs and denormals occur."""
    kind = rng.random()
    if kind < 0.06:
        return bytes(9) + bytes((rng.choice((0, 0x80)),))
    if kind < 0.1:
        return bytes(7) + bytes((0x80, 0xFF, rng.choice((0x7F, 0xFF))))
    significand = rng.choice(SIGNIFICANDS) if kind < 0.4 else rng.getrandbits(64) & -1 << rng.choice((0, 0, 11, 40, 60))
    exponent = rng.choice(EXPONENTS) if rng.random() < 0.35 else rng.randrange(0x3FE0, 0x4042)
    if rng.random() < 0.1:
        exponent = rng.randrange(0x8000)
    if exponent and rng.random() < 0.96:
        significand |= 1 << 63
    elif rng.random() < 0.7:
        significand &= (1 << 63) - 1
    top = exponent | rng.getrandbits(1) << 15
    return (significand & (1 << 64) - 1).to_bytes(8, "little") + top.to_bytes(2, "little")


class X87Builder(Builder):
    """As `Builder`, with a register stack and an operand of the instruction's type in memory."""

    def build(self, rip: int) -> Case:
        return super().build(rip)._replace(vector=self._state())

    def target(self) -> int:
        """Where the memory operand lies, which is filled."""
        rng, at = self.rng, super().target()
        size = self.encoded.insn.memory_size
        if size in EXTENDED:
            data = extended(rng)
            if size == MemorySize.BCD and rng.random() < 0.8:
                data = bytes(rng.randrange(10) << 4 | rng.randrange(10) for _ in range(9)) + data[9:]
        elif size == MemorySize.FLOAT32:
            data = single(rng).to_bytes(4, "little")
        elif size == MemorySize.FLOAT64:
            data = double(rng).to_bytes(8, "little")
        else:
            data = value(rng).to_bytes(8, "little")
        self.pokes.append((at, data))
        return at

    def _state(self) -> VectorState:
        rng = self.rng
        fcw = 0x40 | (0x3F if rng.random() < 0.5 else rng.getrandbits(6)) | rng.choice((0, 2, 3, 3)) << 8 | \
            rng.getrandbits(2) << 10 | (rng.random() < 0.1) << 12
        top = rng.randrange(8)
        fsw = top << 11 | rng.getrandbits(3) << 8 | rng.getrandbits(1) << 14
        if rng.random() < 0.5:
            fsw |= rng.getrandbits(7) & (fcw & 0x3F | 0x40)
        if rng.random() < 0.04 and fcw & 0x3F != 0x3F:      # an exception is pending
            fsw |= 0x8080 | next(1 << n for n in range(6) if not fcw >> n & 1)
        relative = rng.getrandbits(8) | 7 if rng.random() < 0.85 else rng.getrandbits(8)
        if rng.random() < 0.85:
            relative &= 0x7F                                # ST(7) is free
        ftw = (relative << top | relative >> 8 - top) & 0xFF
        st = b"".join(extended(rng) + bytes(6) for _ in range(8))
        return VectorState(MXCSR_DEFAULT, bytes(ZMM_BYTES * ZMMS), st, fcw, fsw, ftw, rng.getrandbits(11),
                           CODE.address + rng.randrange(4096), CODE.address + rng.randrange(4096))


def _close(x: bytes, y: bytes) -> bool:
    """Whether two extended numbers are neighbours or equal."""
    a, b = (int.from_bytes(v[8:10], "little") << 63 | int.from_bytes(v[:8], "little") & (1 << 63) - 1 for v in (x, y))
    return abs(a - b) <= 1


def reconciled(host: VectorState, guest: VectorState) -> VectorState:
    """The host's state with the guest's registers where they are within a unit in the last place of it."""
    st = bytearray(host.st)
    for at in range(0, 128, 16):
        if _close(host.st[at:at + 10], guest.st[at:at + 10]):
            st[at:at + 10] = guest.st[at:at + 10]
    return host._replace(st=bytes(st), fsw=host.fsw & ~C1 | guest.fsw & C1)


class X87Comparison(Comparison):
    """A comparison that allows transcendental results their unit in the last place."""

    def _differs(self, insn: Instruction, host: Outcome, guest: Outcome) -> str:
        if insn.mnemonic in TRANSCENDENTAL and host.vector and guest.vector:
            host = host._replace(vector=reconciled(host.vector, guest.vector))
        return super()._differs(insn, host, guest)


def x87_codes(bits: int) -> list[int]:
    """The x87 forms that are lowered."""
    lowering.load_families()
    found = []
    for name in dir(Code):
        code = getattr(Code, name)
        if name.startswith("_") or not isinstance(code, int):
            continue
        info = OpCodeInfo(code)
        opcode = info.op_code >> 8 if info.op_code_len == 2 else info.op_code
        if (info.encoding == EncodingKind.LEGACY and available(code, bits) and not info.fwait
                and (0xD8 <= opcode <= 0xDF or name == "WAIT")
                and (code in lowering.CODES or info.mnemonic in lowering.TABLE)):
            found.append(code)
    return found


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
            yield X87Builder(encoded, bits, rng).build(CODE.address + slot % SLOTS * SLOT)
            slot += 1


def main(arguments: list[str] | None = None) -> int:
    """Compare and print the differences, one line each. Exit status 1 where there are any, 2 without an oracle."""
    parser = argparse.ArgumentParser(prog="python -m tools.oracle.x87", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=100, metavar="N", help="cases of each form (default 100)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--bits", type=int, choices=(32, 64), help="size of code (default: both)")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="forms whose name has this, as FADD")
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
            codes = [c for c in x87_codes(bits) if not options.only or any(o in code_name(c) for o in options.only)]
            comparison = X87Comparison(host, guest, options.seed)
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
