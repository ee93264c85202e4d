"""The status flags that are left out of comparisons because the host itself does not settle them.

The manual leaves more flags undefined (SDM Vol. 1 appendix A), but where the host always does the same, so does the
engine. On a processor that decides otherwise, name the mnemonic here with its flags' RFLAGS bits.
"""

UNDEFINED: dict[int, int] = {}      # iced mnemonic -> RFLAGS bits


def ignored_flags(mnemonic: int) -> int:
    """RFLAGS bits that a comparison of the mnemonic ignores."""
    return UNDEFINED.get(mnemonic, 0)
