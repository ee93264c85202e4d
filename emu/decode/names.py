"""Names of iced-x86's codes and mnemonics, for messages and for the few decisions that an encoding's name carries."""

from functools import cache

from iced_x86 import Code, Mnemonic


def _names(enum: object) -> dict[int, str]:
    return {v: k for k in dir(enum) if not k.startswith("_") and isinstance(v := getattr(enum, k), int)}


@cache
def _codes() -> dict[int, str]:
    return _names(Code)


@cache
def _mnemonics() -> dict[int, str]:
    return _names(Mnemonic)


def code_name(code: int) -> str:
    """iced's name of an instruction form, such as ADD_RM32_R32."""
    return _codes()[code]


def evex_codes(*mnemonics: str) -> list[int]:
    """The EVEX forms of mnemonics that VEX forms share."""
    starts = tuple(f"EVEX_{name}_" for name in mnemonics)
    return [code for code, name in _codes().items() if name.startswith(starts)]


def mnemonic_name(mnemonic: int) -> str:
    """The mnemonic, such as ADD."""
    return _mnemonics()[mnemonic]
