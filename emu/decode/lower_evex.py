"""Integer arithmetic and rearrangement that only EVEX encoding has (jit/semantics/vector_bitwise.py,
vector_permute.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from emu.decode.vector_operands import LETTERS, Form
from jit import fpu_layout

BYTES = {letter: size for size, letter in LETTERS.items()}
SIZES, WORDS, DWORDS = "BWDQ", "WDQ", "DQ"


def _named(names: str, letters: str) -> dict[int, str]:
    """Mnemonics "V" + name + letter -> micro-ops of that name."""
    return {getattr(Mnemonic, f"V{name}{letter}"): (name + letter).lower() for name in names.split()
            for letter in letters if hasattr(Mnemonic, f"V{name}{letter}")}


# Micro-ops of two sources and an immediate
BINARY = {**{getattr(Mnemonic, f"V{name}{letter}"): name.lower() for name in ("PAND", "PANDN", "POR", "PXOR")
             for letter in DWORDS},
          **_named("PMINS PMAXS PMINU PMAXU PMULL", "Q"), **_named("PSLLV PSRLV", "W"), **_named("PSRAV", "WQ"),
          **_named("PROLV PRORV", DWORDS), **_named("PSHLD PSHRD", WORDS),
          **{getattr(Mnemonic, f"VALIGN{letter}"): f"align{letter.lower()}" for letter in DWORDS},
          **{getattr(Mnemonic, f"VSHUF{kind}"): "shuffle_lanes" for kind in ("F32X4", "F64X2", "I32X4", "I64X2")},
          Mnemonic.VPERMB: "permb", Mnemonic.VPERMW: "permw",
          Mnemonic.VPMULTISHIFTQB: "pmultishiftqb", Mnemonic.VDBPSADBW: "dbpsadbw"}
# Micro-ops of one
UNARY = {**_named("PABS", "Q"), **_named("PROL PROR", DWORDS), **_named("PLZCNT PCONFLICT", DWORDS),
         **{getattr(Mnemonic, f"VPOPCNT{letter}"): f"popcnt{letter.lower()}" for letter in SIZES}}
# Micro-ops of two that also read the destination
ACCUMULATING = {**_named("PSHLDV PSHRDV", WORDS), Mnemonic.VPTERNLOGD: "pternlog", Mnemonic.VPTERNLOGQ: "pternlog"}
ELEMENTS = {"B": "b", "W": "w", "D": "d", "Q": "q", "PS": "d", "PD": "q"}
PERMUTE_TWO = {getattr(Mnemonic, f"VPERM{kind}{suffix}"): (kind, f"perm2{letter}")
               for kind in ("I2", "T2") for suffix, letter in ELEMENTS.items()}
COMPRESS = {getattr(Mnemonic, f"{'V' if len(suffix) == 2 else 'VP'}COMPRESS{suffix}"): letter
            for suffix, letter in ELEMENTS.items()}
EXPAND = {getattr(Mnemonic, mnemonic_name(m).replace("COMPRESS", "EXPAND")): letter for m, letter in COMPRESS.items()}
NARROW = {m: name for pair in ("WB", "DB", "QB", "DW", "QW", "QD") for s in ("", "S", "US")
          for m, name in _named(f"PMOV{s}{pair[0]}", pair[1]).items()}


@lowers(*BINARY)
def binary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    size = f.size(0)
    e.op(f"{BINARY[insn.mnemonic]}.{size}", d, a, b, f.immediate)
    f.finish(d, size)


@lowers(*UNARY)
def unary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = f.size(0)
    e.op(f"{UNARY[insn.mnemonic]}.{size}", f.target, f.source(1), imm=f.immediate)
    f.finish(f.target, size)


@lowers(*ACCUMULATING)
def accumulate(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b, d = f.source(2), f.accumulator()
    size = f.size(0)
    e.op(f"{ACCUMULATING[insn.mnemonic]}.{size}", d, f.slot(1), b, f.immediate)
    f.finish(d, size)


@lowers(*PERMUTE_TWO)
def permute_two(e: Emitter, insn: Instruction) -> None:
    """The destination holds the indices (I2) or the first table (T2)."""
    f = Form(e, insn)
    kind, name = PERMUTE_TWO[insn.mnemonic]
    size, b = f.size(0), f.source(2)
    indices, table = (0, 1) if kind == "I2" else (1, 0)
    e.op(f"{name}.{size}", f.target, f.slot(indices), b, f.slot(table))
    f.finish(f.target, size)


@lowers(Mnemonic.VPSHUFBITQMB)
def shuffle_bits(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b = f.source(2)
    e.op(f"pshufbitqmb.{f.size(1)}", f.slot(0), f.slot(1), b, f.mask_slot)


@lowers(*(getattr(Mnemonic, name + letter) for name, letters in (("VPBLENDM", SIZES), ("VBLENDM", ("PS", "PD")))
          for letter in letters))
def blend(e: Emitter, insn: Instruction) -> None:
    """The mask chooses between the sources; where it zeroes, between the second and 0."""
    f = Form(e, insn)
    assert f.evex
    size, b = f.size(0), f.source(2)
    if f.mask and not f.evex.zeroing:
        # As a merge under the mask into a copy of the first source.
        e.op(f"movv.{size}", f.target, f.slot(1))
        e.op(f"merge{f.evex.facts.element}.{size}", f.target, b, f.mask_slot)
        e.op(f"movv.{fpu_layout.VECTOR_BYTES}", f.slot(0), f.target)
        return
    e.op(f"movv.{size}", f.target, b)
    f.finish(f.target, size)


@lowers(*COMPRESS)
def compress(e: Emitter, insn: Instruction) -> None:
    """Only as many elements as are selected are stored."""
    f = Form(e, insn)
    assert f.evex
    size = f.size(1)
    if f.is_memory(0) and not f.mask:
        f.store(f.slot(1), size)
        return
    d = fpu_layout.tmpv(1)
    e.op(f"compress{COMPRESS[insn.mnemonic]}.{size}", d, f.slot(1), f.mask_slot)
    if f.is_memory(0):
        f.store(d, size, fpu_layout.TEMPORARY_MASK)
        return
    name = "zero" if f.evex.zeroing else "merge"
    e.op(f"{name}{f.evex.facts.element}.{size}", f.slot(0), d, fpu_layout.opmask(fpu_layout.TEMPORARY_MASK))


@lowers(*EXPAND)
def expand(e: Emitter, insn: Instruction) -> None:
    """Only as many elements as are selected are loaded."""
    f = Form(e, insn)
    assert f.evex
    size = f.size(0)
    a = fpu_layout.tmpv(0)
    if f.is_memory(1):
        e.op(f"count_selected.{size // f.evex.facts.element}", 0, f.mask_slot)
        f.load(a, size, mask=fpu_layout.TEMPORARY_MASK)
    else:
        a = f.slot(1)
    e.op(f"expand{EXPAND[insn.mnemonic]}.{size}", f.target, a, f.mask_slot)
    f.finish(f.target, size)


@lowers(*NARROW)
def narrow(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name, size = NARROW[insn.mnemonic], f.size(1)
    narrowed = size * BYTES[name[-1]] // BYTES[name[-2]]
    d = fpu_layout.tmpv(0) if f.is_memory(0) else f.target
    e.op(f"{name}.{size}", d, f.slot(1))
    if f.is_memory(0):
        f.store(d, narrowed)
    elif f.mask:
        f.finish(d, narrowed)

