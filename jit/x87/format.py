"""The double extended-precision format (SDM Vol. 1 4.2.2, 4.8.3, 8.2.2): kinds of values and the bits of FCW and FSW.

A value is (sig, top): the 64-bit significand with its explicit integer bit, and sign << 15 | biased exponent.
"""

from jit.native import ctlz, inline

SIGN = -(1 << 63)                       # the integer bit
QUIET = 1 << 62
BIAS, EXP_MAX = 16383, 0x7FFF
INDEFINITE_SIG, INDEFINITE_TOP = -(1 << 62), 0xFFFF     # the QNaN floating-point indefinite

# Exceptions: flags in FSW, masks in FCW (SDM Vol. 1 8.1.3, 8.1.5)
IE, DE, ZE, OE, UE, PE, SF, ES = 1, 2, 4, 8, 16, 32, 64, 128
EXCEPTIONS = 0x3F
C0, C1, C2, C3, BUSY = 0x100, 0x200, 0x400, 0x4000, 0x8000
CONDITIONS = C0 | C1 | C2 | C3
TOP_SHIFT = 11
TOP_MASK = 7 << TOP_SHIFT
BEFORE = IE | DE | ZE                   # unmasked, these suppress the result
ROUND_NEAREST, ROUND_DOWN, ROUND_UP, ROUND_ZERO = 0, 1, 2, 3

ZERO, NORMAL, DENORMAL, INFINITE, QUIET_NAN, SIGNALING_NAN, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 6


@inline
def kind(sig: int, top: int) -> int:
    """Which of ZERO ... UNSUPPORTED a value is. Pseudo-denormals are DENORMAL; unnormals, pseudo-NaNs and
    pseudo-infinities UNSUPPORTED."""
    exponent = top & EXP_MAX
    if exponent == 0:
        return ZERO if sig == 0 else DENORMAL
    if sig >= 0:
        return UNSUPPORTED
    if exponent != EXP_MAX:
        return NORMAL
    if sig == SIGN:
        return INFINITE
    return QUIET_NAN if sig & QUIET else SIGNALING_NAN


@inline
def normalised(sig: int, top: int) -> tuple[int, int]:
    """(significand with its top bit set, exponent) of a NORMAL or DENORMAL value; the exponent may be below 1."""
    exponent = top & EXP_MAX
    if exponent == 0:
        shift = ctlz(sig)
        return sig << shift, 1 - shift
    return sig, exponent


@inline
def sign_of(top: int) -> int:
    return (top >> 15) & 1


@inline
def rounding(cw: int) -> int:
    """RC."""
    return (cw >> 10) & 3


@inline
def dropped(cw: int) -> int:
    """Significand bits below the precision that PC selects. 01, reserved, acts as 11."""
    pc = (cw >> 8) & 3
    if pc == 0:
        return 40
    return 11 if pc == 2 else 0
