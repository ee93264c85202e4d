"""Near control transfer."""

from iced_x86 import Instruction, Mnemonic, OpKind, Register

from emu.decode.emitter import Emitter
from emu.decode.lower_move import _CONDITIONS
from emu.decode.lowering import lowers
from emu.decode.names import code_name
from emu.decode.operands import operand_width
from jit.layout import MODE_SHADOW, MODE_TRACK
from jit.semantics.wiring import NEAR

JCC = {getattr(Mnemonic, "J" + c): n for n, c in enumerate(_CONDITIONS)}
_NEAR = {OpKind.NEAR_BRANCH16: 16, OpKind.NEAR_BRANCH32: 32, OpKind.NEAR_BRANCH64: 64}
_COUNTED = {Mnemonic.JCXZ: ("jcxz.16", ""), Mnemonic.JECXZ: ("jcxz.32", ""), Mnemonic.JRCXZ: ("jcxz.64", ""),
            Mnemonic.LOOP: ("loop", ".always"), Mnemonic.LOOPE: ("loop", ".e"), Mnemonic.LOOPNE: ("loop", ".ne")}


def _target(e: Emitter, insn: Instruction) -> tuple[int, int, int, int | None]:
    """(operand size, NEAR or 0, page-relative target, page offset to link or None)."""
    width = _NEAR[insn.op0_kind]
    target = insn.near_branch_target
    link = target if e.flat and width == e.bits and 0 <= target < 4096 else None
    return width, 0 if link is None else NEAR, target, link


def _next(e: Emitter, insn: Instruction) -> int | None:
    """Page offset of the following instruction, if it may be linked."""
    return insn.next_ip if insn.next_ip < 4096 else None


def _notrack(insn: Instruction) -> bool:
    """Whether an indirect branch has the prefix NOTRACK, which is DS's."""
    return insn.segment_prefix == Register.DS


@lowers(Mnemonic.JMP)
def jmp(e: Emitter, insn: Instruction) -> None:
    e.end()
    if insn.op0_kind in _NEAR:
        width, near, target, link = _target(e, insn)
        e.op(f"jmp.{width}", near, imm=target, target=link)
    else:
        width = operand_width(insn, 0)
        slot, _ = e.source(insn, 0, width)
        if not e.mode & MODE_TRACK:
            e.op(f"jmp_reg.{width}", a=slot)
        elif _notrack(insn):
            e.op(f"check_notrack.{width}.0.0", a=slot)
        else:
            e.op(f"jmp_reg_track.{width}", a=slot)


@lowers(*JCC)
def jcc(e: Emitter, insn: Instruction) -> None:
    e.end()
    width, near, target, link = _target(e, insn)
    e.op(f"jcc.{JCC[insn.mnemonic]}.{width}", near, imm=target, target=link, follows=_next(e, insn))


@lowers(*_COUNTED)
def counted(e: Emitter, insn: Instruction) -> None:
    """JrCXZ and LOOPcc: the address size picks the counter."""
    e.end()
    width, near, target, link = _target(e, insn)
    name, suffix = _COUNTED[insn.mnemonic]
    if name == "loop":
        name = f"loop.{counter_bits(insn)}"
    e.op(f"{name}.{width}{suffix}", near, imm=target, target=link, follows=_next(e, insn))


def counter_bits(insn: Instruction) -> int:
    """Width of the count register of LOOPcc, from the instruction's code name (…_CX, …_ECX, …_RCX)."""
    return {"CX": 16, "ECX": 32, "RCX": 64}[code_name(insn.code).rsplit("_", 1)[1]]


@lowers(Mnemonic.CALL)
def call(e: Emitter, insn: Instruction) -> None:
    e.end()
    if insn.op0_kind in _NEAR:
        width, near, target, link = _target(e, insn)
        # A call of the next instruction reads RIP, and leaves no return address on a shadow stack (SDM Vol. 2A CALL).
        name = "call_shadow" if e.mode & MODE_SHADOW and target != insn.next_ip else "call"
        e.op(f"{name}.{width}.{e.stack}", near, a=insn.next_ip, imm=target, target=link)
    else:
        width = operand_width(insn, 0)
        slot, _ = e.source(insn, 0, width)
        shadow, tracks = int(bool(e.mode & MODE_SHADOW)), int(bool(e.mode & MODE_TRACK))
        name = f"call_reg.{width}.{e.stack}"
        if tracks and _notrack(insn):
            name = f"check_notrack.{width}.{e.stack}.{shadow}"
        elif shadow or tracks:
            name = f"call_reg_cet.{width}.{e.stack}.{shadow}.{tracks}"
        e.op(name, a=slot, imm=insn.next_ip)


@lowers(Mnemonic.RET)
def ret(e: Emitter, insn: Instruction) -> None:
    e.end()
    width = {"W": 16, "D": 32, "Q": 64}[code_name(insn.code)[4]]
    release = insn.immediate(0) if insn.op_count else 0
    e.op(f"{'ret_shadow' if e.mode & MODE_SHADOW else 'ret'}.{width}.{e.stack}", imm=release)


