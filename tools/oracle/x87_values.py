"""What the x87 comparisons start from: values at every border of the formats, control words, stacks."""

import numpy as np

from tools.oracle.x87_native import IMAGE, MXCSR_DEFAULT

_SIGNIFICANDS = np.array([
    0, 1, 2, 3, 0x3FF, 0x400, 0x401, 0x7FF, 0x800, 1 << 31, 1 << 32, 1 << 39, 1 << 40, (1 << 40) - 1, 1 << 62, (1 <<
    62) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 63) + 0x3FF, (1 << 63) + 0x400, (1 << 63) + 0x401, (1 <<
    63) + 0xC00, (1 << 63) + (1 << 39), (1 << 63) + (1 << 39) + 1, (1 << 63) + (1 << 40), (1 << 63) + (3 << 39), (1
    << 63) + (1 << 62), (1 << 63) + (1 << 62) + 1, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE, 0xFFFFFFFFFFFFF800,
    0xFFFFFFFFFFFFFC00, 0xFFFFFFFFFFFFFBFF, 0xFFFFFF0000000000, 0xFFFFFF8000000000, 0xFFFFFF7FFFFFFFFF,
    0xC90FDAA22168C235, 0xA000000000000000, 0xDE0B6B3A763FFFFF, 0xB504F333F9DE6484], np.uint64)
_EXPONENTS = np.array([
    0, 1, 2, 3, 0x3F, 0x40, 0x41, 0x1FFF, 0x2000, 0x3F80, 0x3F81, 0x3F82, 0x3F6A, 0x3F69, 0x3F68, 0x3C00, 0x3C01,
    0x3C02, 0x3BCD, 0x3BCC, 0x3BCB, 0x3FBE, 0x3FBF, 0x3FFC, 0x3FFD, 0x3FFE, 0x3FFF, 0x4000, 0x4001, 0x400D, 0x400E,
    0x400F, 0x401D, 0x401E, 0x401F, 0x403A, 0x403B, 0x403C, 0x403D, 0x403E, 0x403F, 0x4040, 0x407E, 0x407F, 0x4080,
    0x43FE, 0x43FF, 0x4400, 0x5FFE, 0x5FFF, 0x6000, 0x7FFC, 0x7FFD, 0x7FFE, 0x7FFF, 0x7FFF], np.uint64)


def significands(rng: np.random.Generator, count: int) -> np.ndarray:
    """Significands: the borders, sparse ones, random ones; most with the integer bit."""
    listed = rng.choice(_SIGNIFICANDS, count)
    noise = rng.integers(0, 1 << 64, count, np.uint64, endpoint=False)
    short = noise & ~((np.uint64(1) << rng.integers(0, 64, count, np.uint64)) - np.uint64(1))
    choice = rng.integers(0, 10, count)
    value = np.where(choice < 3, listed, np.where(choice < 7, noise, short))
    return np.where(rng.integers(0, 24, count) > 0, value | np.uint64(1 << 63), value)


def exponents(rng: np.random.Generator, count: int, near: np.ndarray | None = None) -> np.ndarray:
    """Biased exponents: the borders, random ones, around 1, and within 70 of `near`."""
    choice = rng.integers(0, 10, count)
    value = np.where(choice < 4, rng.choice(_EXPONENTS, count),
                     np.where(choice < 6, rng.integers(0, 0x8000, count, np.uint64),
                              rng.integers(0x3FF0, 0x4050, count, np.uint64)))
    if near is not None:
        close = np.clip(near.astype(np.int64) + rng.integers(-70, 71, count), 0, 0x7FFF).astype(np.uint64)
        value = np.where(rng.integers(0, 3, count) == 0, close, value)
    return value


def values(rng: np.random.Generator, count: int, near: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(significands, sign and exponent words). Zeros, denormals, infinities and NaNs of each kind occur."""
    sig = significands(rng, count)
    exponent = exponents(rng, count, None if near is None else near & np.uint64(0x7FFF))
    zero = rng.integers(0, 16, count) == 0
    sig, exponent = np.where(zero, np.uint64(0), sig), np.where(zero, np.uint64(0), exponent)
    infinite = rng.integers(0, 24, count) == 0
    sig, exponent = np.where(infinite, np.uint64(1 << 63), sig), np.where(infinite, np.uint64(0x7FFF), exponent)
    denormal = (exponent == 0) & (rng.integers(0, 3, count) > 0)
    sig = np.where(denormal, sig & np.uint64((1 << 63) - 1), sig)
    return sig, exponent | rng.integers(0, 2, count, np.uint64) << np.uint64(15)


def control_words(rng: np.random.Generator, count: int) -> np.ndarray:
    """FCW: every precision and rounding; half with all exceptions masked, else any mask."""
    masks = np.where(rng.integers(0, 2, count) == 0, 0x3F, rng.integers(0, 64, count))
    precision = rng.choice(np.array([0, 2, 3, 3]), count)
    return (masks | precision << 8 | rng.integers(0, 4, count) << 10 | 0x40).astype(np.uint16)


def images(rng: np.random.Generator, count: int, full: float = 0.9) -> np.ndarray:
    """FXSAVE images with random stacks. `full` is the share of them in which ST(0) to ST(2) are valid and ST(7) is
    empty; in the rest any register may be either."""
    result = np.zeros((count, IMAGE), np.uint8)
    words = result.view(np.uint16)
    cw = control_words(rng, count)
    top = rng.integers(0, 8, count)
    sticky = np.where(rng.integers(0, 2, count) == 0, 0, rng.integers(0, 64, count)) & cw & 0x3F
    conditions = rng.integers(0, 8, count) << 8 | rng.integers(0, 2, count) << 14
    words[:, 0] = cw
    words[:, 1] = top << 11 | sticky | conditions
    normal = rng.random(count) < full
    relative = np.where(normal, rng.integers(0, 128, count) | 7, rng.integers(0, 256, count))
    tags = (relative << top | relative >> (8 - top)) & 0xFF
    words[:, 2] = tags
    previous = None
    for i in range(8):
        sig, word = values(rng, count, previous)
        result[:, 32 + 16 * i:40 + 16 * i] = sig[:, None].view(np.uint8).reshape(count, 8)
        words[:, 20 + 8 * i] = word
        previous = word
    result.view(np.uint32)[:, 6] = MXCSR_DEFAULT
    return result
