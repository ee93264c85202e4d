"""The rounds of SHA-256, for the model of the SHA-256 loop (FIPS 180-4, 6.2.2)."""
import struct

WORD = 0xFFFFFFFF


def _cube_root(n: int) -> int:
    """The integer cube root of n, by bisection."""
    low, high = 0, 1 << (n.bit_length() // 3 + 1)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle ** 3 <= n else (low, middle)
    return low


PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
K = [_cube_root(prime << 96) & WORD for prime in PRIMES]        # FIPS 180-4, 4.2.2
K_BYTES = struct.pack("<64I", *K)


def _rotated(x: int, *counts: int) -> int:
    """The exclusive or of x rotated right by each count."""
    result = 0
    for count in counts:
        result ^= x >> count | x << 32 - count
    return result & WORD


def rounds(state: list[int], message: list[int]) -> list[int]:
    """The eight working variables after 64 rounds, before they are added to the state."""
    w = list(message)
    for t in range(16, 64):
        w.append(_rotated(w[t - 2], 17, 19) ^ w[t - 2] >> 10)
        w[t] = w[t] + w[t - 7] + (_rotated(w[t - 15], 7, 18) ^ w[t - 15] >> 3) + w[t - 16] & WORD
    a, b, c, d, e, f, g, h = state
    for t in range(64):
        one = h + _rotated(e, 6, 11, 25) + (e & f ^ ~e & g) + K[t] + w[t]
        two = _rotated(a, 2, 13, 22) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = one + two & WORD, a, b, c, d + one & WORD, e, f, g
    return [a, b, c, d, e, f, g, h]
