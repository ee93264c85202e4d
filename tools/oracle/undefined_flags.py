"""The status flags that are left out of comparisons because the host itself does not settle them.

The manual leaves more flags undefined (SDM Vol. 1 appendix A), but where processors agree the engine does as they do.
"""

from iced_x86 import Mnemonic

CF, PF, AF, ZF, SF, OF = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800
STATUS = CF | PF | AF | ZF | SF | OF

UNDEFINED: dict[int, int] = {}


def ignored_flags(mnemonic: int) -> int:
    """RFLAGS bits that a comparison of the mnemonic ignores."""
    return UNDEFINED.get(mnemonic, 0)
