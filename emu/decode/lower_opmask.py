"""Opmask instructions and comparisons into opmask registers (jit/semantics/vector_opmask.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers, lowers_code
from emu.decode.names import evex_codes, mnemonic_name
from emu.decode.operands import GPR_SLOT, REGISTER
from emu.decode.vector_operands import LETTERS, Form

BYTES = {letter.upper(): size for size, letter in LETTERS.items()}
BINARY = ("KAND", "KANDN", "KOR", "KXOR", "KXNOR", "KADD")
COMPARED = ("eq", "lt", "le", None, "ne", "ge", "gt", None)         # VPCMP's predicates; 3 is false, 7 true
UNPACKED = {Mnemonic.KUNPCKBW: 2, Mnemonic.KUNPCKWD: 4, Mnemonic.KUNPCKDQ: 8}


def _sized(*names: str) -> list[int]:
    """The mnemonics with each of the four suffixes."""
    return [getattr(Mnemonic, name + letter) for name in names for letter in BYTES]


def _split(insn: Instruction) -> tuple[str, int]:
    """(micro-op, bytes of mask or element) of a mnemonic with a suffix."""
    name = mnemonic_name(insn.mnemonic)
    return name[:-1].lower(), BYTES[name[-1]]


@lowers(*_sized(*BINARY), *UNPACKED)
def binary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name, size = _split(insn)
    if insn.mnemonic in UNPACKED:
        name, size = "kunpck", UNPACKED[insn.mnemonic]
    e.op(f"{name}.{size}", f.slot(0), f.slot(1), f.slot(2))


@lowers(*_sized("KNOT", "KSHIFTL", "KSHIFTR"))
def unary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name, size = _split(insn)
    e.op(f"{name}.{size}", f.slot(0), f.slot(1), imm=f.immediate)


@lowers(*_sized("KTEST", "KORTEST"))
def test(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name, size = _split(insn)
    e.op(f"{name}.{size}", 0, f.slot(0), f.slot(1))


@lowers(*_sized("KMOV"))
def move(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    _, size = _split(insn)
    if f.is_memory(0):
        f.store(f.slot(1), size)
    elif insn.op_kind(0) == REGISTER and insn.op0_register in GPR_SLOT:
        e.op(f"vector_to_gpr.{size}", GPR_SLOT[insn.op0_register][0], f.slot(1))
    elif f.is_memory(1) or insn.op1_register in GPR_SLOT:
        e.op(f"mmx_from_gpr.{size}", f.slot(0), f.general(1, size))
    else:
        e.op(f"kmov.{size}", f.slot(0), f.slot(1))


def _compare(e: Emitter, insn: Instruction, name: str) -> None:
    f = Form(e, insn)
    b = f.source(2)
    e.op(f"{name}.{f.size(1)}", f.slot(0), f.slot(1), b, f.mask_slot)


@lowers_code(*evex_codes(*(f"VPCMP{n}{letter}" for n in ("EQ", "GT") for letter in BYTES)))
def compare(e: Emitter, insn: Instruction) -> None:
    name, size = _split(insn)
    _compare(e, insn, f"compare_{name[-2:]}{size}")


@lowers(*(getattr(Mnemonic, f"VPCMP{u}{letter}") for u in ("", "U") for letter in BYTES))
def compare_by_predicate(e: Emitter, insn: Instruction) -> None:
    name, size = _split(insn)
    control = insn.immediate(insn.op_count - 1) & 7
    predicate = COMPARED[control]
    if predicate is not None:
        unsigned = "u" if name.endswith("u") else ""
        _compare(e, insn, f"compare_{predicate}{unsigned}{size}")
        return
    f = Form(e, insn)
    f.source(2)
    e.op(f"compare_{'true' if control == 7 else 'false'}.{f.size(1) // size}", f.slot(0), imm=f.mask_slot)


@lowers(*_sized("VPTESTM", "VPTESTNM"))
def test_elements(e: Emitter, insn: Instruction) -> None:
    name, size = _split(insn)
    _compare(e, insn, f"{name[2:]}{size}")


@lowers(*(getattr(Mnemonic, f"VPMOVM2{letter}") for letter in BYTES))
def spread(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = f.size(0)
    e.op(f"spread{_split(insn)[1]}.{size}", f.slot(0), f.slot(1))
    f.finish(f.slot(0), size)


@lowers(*(getattr(Mnemonic, f"VPMOV{letter}2M") for letter in BYTES))
def signs(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = BYTES[mnemonic_name(insn.mnemonic)[5]]
    e.op(f"signs{size}.{f.size(1)}", f.slot(0), f.slot(1), f.mask_slot)


@lowers(Mnemonic.VPBROADCASTMB2Q, Mnemonic.VPBROADCASTMW2D)
def broadcast(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = f.size(0)
    e.op(f"broadcast_mask{_split(insn)[1]}.{size}", f.slot(0), f.slot(1))
    f.finish(f.slot(0), size)
