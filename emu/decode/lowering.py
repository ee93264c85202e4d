"""The table from mnemonic to lowering function; the families live in emu/decode/lower_*.py."""

import importlib
from collections.abc import Callable

from iced_x86 import Instruction

from emu.decode.emitter import Emitter

Lowering = Callable[[Emitter, Instruction], None]
TABLE: dict[int, Lowering] = {}         # iced mnemonic -> function
CODES: dict[int, Lowering] = {}         # iced code -> function, where one form differs from its mnemonic's others
FAMILIES = ("move", "alu", "shift", "muldiv", "bits", "bcd", "exchange", "flags", "control", "stack", "string",
            "segment", "snp", "far", "io", "system", "translation", "hypercall", "sse_move", "sse_integer",
            "sse_shuffle", "sse_float", "sse_convert", "opmask", "evex", "sse_state", "sse_string", "avx", "fma",
            "avx512_float", "crypto", "avx_masked", "xsave", "random", "direct_store", "cet", "sse4a", "wait", "x87")


class NotImplementedInstruction(Exception):
    """The instruction, or this form of it, has no lowering."""


def lowers(*mnemonics: int) -> Callable[[Lowering], Lowering]:
    """Register the lowering function of some mnemonics."""
    def register(function: Lowering) -> Lowering:
        for mnemonic in mnemonics:
            assert mnemonic not in TABLE, f"mnemonic {mnemonic} is lowered twice"
            TABLE[mnemonic] = function
        return function
    return register


def lowers_code(*codes: int) -> Callable[[Lowering], Lowering]:
    """Register the lowering function of particular instruction forms."""
    def register(function: Lowering) -> Lowering:
        for code in codes:
            assert code not in CODES, f"code {code} is lowered twice"
            CODES[code] = function
        return function
    return register


def load_families() -> None:
    """Import every family, filling TABLE."""
    for family in FAMILIES:
        importlib.import_module(f"emu.decode.lower_{family}")
