"""Random x87 states: register stacks of values at the borders of the format, control words, an operand in memory."""

from __future__ import annotations

from random import Random

from iced_x86 import MemorySize, Mnemonic

from tools.oracle.arena import CODE
from tools.oracle.case import ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.generate import Builder, value
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


def reconciled(mnemonic: int, host: VectorState, guest: VectorState) -> VectorState:
    """The host's state with the guest's registers where a transcendental result is within a unit in the last place of
    it, and then the guest's C1 (SDM Vol. 1 8.3.10)."""
    if mnemonic not in TRANSCENDENTAL:
        return host
    st = bytearray(host.st)
    for at in range(0, 128, 16):
        if _close(host.st[at:at + 10], guest.st[at:at + 10]):
            st[at:at + 10] = guest.st[at:at + 10]
    return host._replace(st=bytes(st), fsw=host.fsw & ~C1 | guest.fsw & C1)
