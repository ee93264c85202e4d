"""One AES round, for the model of the AES loop (FIPS 197, section 5.1)."""
import functools


def _times(a: int, b: int) -> int:
    """The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2)."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


@functools.cache
def sbox() -> bytes:
    """SubBytes: the inverse in GF(2^8), then an affine map (FIPS 197, 5.1.1)."""
    table = bytearray(256)
    for value in range(256):
        inverse = next((x for x in range(256) if _times(value, x) == 1), 0)
        bits = inverse * 0x101                  # so that a shift right is a rotation
        table[value] = (bits ^ bits >> 4 ^ bits >> 5 ^ bits >> 6 ^ bits >> 7 ^ 0x63) & 0xFF
    return bytes(table)


def aesenclast(state: bytes, key: bytes) -> bytes:
    """AESENCLAST: ShiftRows, SubBytes and the round key; 16 bytes, column by column."""
    table = sbox()
    return bytes(table[state[(i + 4 * (i % 4)) % 16]] ^ key[i] for i in range(16))


def aesenc(state: bytes, key: bytes) -> bytes:
    """AESENC: AESENCLAST with MixColumns before the key."""
    mixed = bytearray()
    rows = aesenclast(state, bytes(16))
    for at in range(0, 16, 4):
        column = rows[at:at + 4]
        mixed += bytes(_times(column[i], 2) ^ _times(column[(i + 1) % 4], 3) ^ column[(i + 2) % 4] ^ column[(i + 3) % 4]
                       for i in range(4))
    return bytes(a ^ b for a, b in zip(mixed, key, strict=True))
