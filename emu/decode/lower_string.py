"""String instructions."""

from iced_x86 import Code, Instruction, OpKind, Register

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers_code
from emu.decode.operands import SEGMENT_NUMBER
from jit import layout

_FORMS = {
    Code.MOVSB_M8_M8: ("movs", 8), Code.MOVSW_M16_M16: ("movs", 16), Code.MOVSD_M32_M32: ("movs", 32),
    Code.MOVSQ_M64_M64: ("movs", 64), Code.STOSB_M8_AL: ("stos", 8), Code.STOSW_M16_AX: ("stos", 16),
    Code.STOSD_M32_EAX: ("stos", 32), Code.STOSQ_M64_RAX: ("stos", 64), Code.LODSB_AL_M8: ("lods", 8),
    Code.LODSW_AX_M16: ("lods", 16), Code.LODSD_EAX_M32: ("lods", 32), Code.LODSQ_RAX_M64: ("lods", 64),
    Code.SCASB_AL_M8: ("scas", 8), Code.SCASW_AX_M16: ("scas", 16), Code.SCASD_EAX_M32: ("scas", 32),
    Code.SCASQ_RAX_M64: ("scas", 64), Code.CMPSB_M8_M8: ("cmps", 8), Code.CMPSW_M16_M16: ("cmps", 16),
    Code.CMPSD_M32_M32: ("cmps", 32), Code.CMPSQ_M64_M64: ("cmps", 64),
}
_ADDRESS_BITS = {OpKind.MEMORY_SEG_SI: 16, OpKind.MEMORY_SEG_ESI: 32, OpKind.MEMORY_SEG_RSI: 64,
                 OpKind.MEMORY_ESDI: 16, OpKind.MEMORY_ESEDI: 32, OpKind.MEMORY_ESRDI: 64}


def _source_segment(e: Emitter, insn: Instruction) -> int:
    """Operand word A of jit/semantics/string.py."""
    segment = insn.memory_segment
    if e.bits != 64:
        return SEGMENT_NUMBER[segment]
    if segment in (Register.FS, Register.GS):
        return layout.seg(SEGMENT_NUMBER[segment], layout.SEG_BASE)
    return layout.ZERO


@lowers_code(*_FORMS)
def string(e: Emitter, insn: Instruction) -> None:
    """REP and REPNE mean the same to the instructions that set no flags (SDM Vol. 2B REP)."""
    name, width = _FORMS[insn.code]
    kinds = [insn.op_kind(i) for i in range(insn.op_count)]
    bits = next(_ADDRESS_BITS[kind] for kind in kinds if kind in _ADDRESS_BITS)
    name = f"{name}.{width}.{'long32' if e.bits == 64 and bits == 32 else bits}"
    segment = layout.ZERO if name.startswith(("stos", "scas")) else _source_segment(e, insn)
    if not insn.has_rep_prefix and not insn.has_repne_prefix:
        e.op(name, a=segment)
        return
    if name.startswith(("scas", "cmps")):
        name += f".{int(not insn.has_repne_prefix)}"
    e.end()
    e.op("rep_" + name, a=segment, target=insn.ip, follows=insn.next_ip if insn.next_ip < 4096 else None)
