"""What EVEX encoding says of an instruction beyond its operands, and the table of mnemonics whose lowering knows of it.

One line makes an EVEX form of an operation that has a lowering for VEX: the mnemonic in SUPPRESSING, where masked-off
elements of a memory operand are not accessed, or in UNSUPPRESSED, where all of it is read whatever the mask (SDM Vol.
2A 2.7.5 and 2.8: exception classes whose names end in NF), or that have no such operand. Everything else follows from
iced's facts about the form; where it does not, GRANULARITY has the bytes that a bit of the mask stands for.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from iced_x86 import Instruction, MemorySize, MemorySizeExt, OpCodeInfo, Register, RegisterExt, RoundingControl

from emu.decode import evex_float
from emu.decode.lowering import NotImplementedInstruction
from emu.decode.names import mnemonic_name

SUPPRESSING = frozenset("""
    VPADDB VPADDW VPADDD VPADDQ VPSUBB VPSUBW VPSUBD VPSUBQ VPADDSB VPADDSW VPADDUSB VPADDUSW VPSUBSB VPSUBSW VPSUBUSB
    VPSUBUSW VPAVGB VPAVGW VPMINSB VPMINSW VPMINSD VPMAXSB VPMAXSW VPMAXSD VPMINUB VPMINUW VPMINUD VPMAXUB VPMAXUW
    VPMAXUD VPMULLW VPMULLD VPMULHW VPMULHUW VPMULHRSW VPMULUDQ VPMULDQ VPABSB VPABSW VPABSD
    VPMINSQ VPMAXSQ VPMINUQ VPMAXUQ VPMULLQ VPABSQ VPANDD VPANDQ VPANDND VPANDNQ VPORD VPORQ VPXORD VPXORQ
    VPSLLVW VPSLLVD VPSLLVQ VPSRLVW VPSRLVD VPSRLVQ VPSRAVW VPSRAVD VPSRAVQ VPROLD VPROLQ VPRORD VPRORQ VPROLVD VPROLVQ
    VPRORVD VPRORVQ VPSHLDW VPSHLDD VPSHLDQ VPSHRDW VPSHRDD VPSHRDQ VPSHLDVW VPSHLDVD VPSHLDVQ VPSHRDVW VPSHRDVD
    VPSHRDVQ VPTERNLOGD VPTERNLOGQ VPLZCNTD VPLZCNTQ VPOPCNTB VPOPCNTW VPOPCNTD VPOPCNTQ VPSHUFBITQMB
    VPBLENDMB VPBLENDMW VPBLENDMD VPBLENDMQ VBLENDMPS VBLENDMPD
    VMOVDQU8 VMOVDQU16 VMOVDQU32 VMOVDQU64 VMOVDQA32 VMOVDQA64 VMOVUPS VMOVUPD VMOVAPS VMOVAPD VMOVSS VMOVSD
    VPMOVSXBW VPMOVSXBD VPMOVSXBQ VPMOVSXWD VPMOVSXWQ VPMOVSXDQ VPMOVZXBW VPMOVZXBD VPMOVZXBQ VPMOVZXWD VPMOVZXWQ
    VPMOVZXDQ VPEXPANDB VPEXPANDW VPEXPANDD VPEXPANDQ VEXPANDPS VEXPANDPD
    VPCOMPRESSB VPCOMPRESSW VPCOMPRESSD VPCOMPRESSQ VCOMPRESSPS VCOMPRESSPD
    VPMOVWB VPMOVDB VPMOVQB VPMOVDW VPMOVQW VPMOVQD VPMOVSWB VPMOVSDB VPMOVSQB VPMOVSDW VPMOVSQW VPMOVSQD
    VPMOVUSWB VPMOVUSDB VPMOVUSQB VPMOVUSDW VPMOVUSQW VPMOVUSQD
    VGATHERDPS VGATHERDPD VGATHERQPS VGATHERQPD VPGATHERDD VPGATHERDQ VPGATHERQD VPGATHERQQ
    VSCATTERDPS VSCATTERDPD VSCATTERQPS VSCATTERQPD VPSCATTERDD VPSCATTERDQ VPSCATTERQD VPSCATTERQQ
    VPBROADCASTB VPBROADCASTW VPBROADCASTD VPBROADCASTQ VBROADCASTSS VBROADCASTSD VBROADCASTF32X2 VBROADCASTI32X2
    VBROADCASTF32X4 VBROADCASTI32X4 VBROADCASTF32X8 VBROADCASTI32X8 VBROADCASTF64X2 VBROADCASTI64X2 VBROADCASTF64X4
    VBROADCASTI64X4
    VPCMPEQB VPCMPEQW VPCMPEQD VPCMPEQQ VPCMPGTB VPCMPGTW VPCMPGTD VPCMPGTQ VPCMPB VPCMPW VPCMPD VPCMPQ
    VPCMPUB VPCMPUW VPCMPUD VPCMPUQ VPTESTMB VPTESTMW VPTESTMD VPTESTMQ VPTESTNMB VPTESTNMW VPTESTNMD VPTESTNMQ
    VANDPS VANDPD VORPS VORPD VXORPS VXORPD VANDNPS VANDNPD
    """.split()) | evex_float.SUPPRESSING
UNSUPPRESSED = frozenset("""
    VPMADDWD VPMADDUBSW VPSADBW VPACKSSWB VPACKSSDW VPACKUSWB VPACKUSDW
    VPUNPCKLBW VPUNPCKLWD VPUNPCKLDQ VPUNPCKLQDQ VPUNPCKHBW VPUNPCKHWD VPUNPCKHDQ VPUNPCKHQDQ
    VUNPCKLPS VUNPCKHPS VUNPCKLPD VUNPCKHPD VSHUFPS VSHUFPD VPSHUFB VPALIGNR VPSHUFD VPSHUFLW VPSHUFHW
    VPSLLDQ VPSRLDQ VPCONFLICTD VPCONFLICTQ VPMULTISHIFTQB VDBPSADBW VALIGND VALIGNQ
    VSHUFF32X4 VSHUFF64X2 VSHUFI32X4 VSHUFI64X2 VPERMB VPERMW VPERMD VPERMQ VPERMPS VPERMPD VPERMILPS VPERMILPD
    VPERMI2B VPERMI2W VPERMI2D VPERMI2Q VPERMI2PS VPERMI2PD VPERMT2B VPERMT2W VPERMT2D VPERMT2Q VPERMT2PS VPERMT2PD
    VEXTRACTF32X4 VEXTRACTI32X4 VEXTRACTF32X8 VEXTRACTI32X8 VEXTRACTF64X2 VEXTRACTI64X2 VEXTRACTF64X4 VEXTRACTI64X4
    VINSERTF32X4 VINSERTI32X4 VINSERTF32X8 VINSERTI32X8 VINSERTF64X2 VINSERTI64X2 VINSERTF64X4 VINSERTI64X4
    VMOVNTDQ VMOVNTDQA VMOVNTPS VMOVNTPD VMOVD VMOVQ VMOVHPS VMOVHPD VMOVLPS VMOVLPD VMOVHLPS VMOVLHPS
    VMOVDDUP VMOVSLDUP VMOVSHDUP VPINSRB VPINSRW VPINSRD VPINSRQ VPEXTRB VPEXTRW VPEXTRD VPEXTRQ VEXTRACTPS VINSERTPS
    VPMOVM2B VPMOVM2W VPMOVM2D VPMOVM2Q VPMOVB2M VPMOVW2M VPMOVD2M VPMOVQ2M VPBROADCASTMB2Q VPBROADCASTMW2D
    """.split()) | evex_float.UNSUPPRESSED
# By an immediate they are of class E4, by a vector's low 64 bits of class E4NF.
SUPPRESSING_BY_IMMEDIATE = frozenset("VPSLLW VPSLLD VPSLLQ VPSRLW VPSRLD VPSRLQ VPSRAW VPSRAD VPSRAQ".split())
SCALARS = ("SS", "SD")
GRANULARITY = {"VPMADDWD": 4, "VPMADDUBSW": 2, "VPACKSSWB": 1, "VPACKUSWB": 1, "VPACKSSDW": 2, "VPACKUSDW": 2,
               "VDBPSADBW": 2, "VPMULTISHIFTQB": 1, "VPSHUFBITQMB": 1, "VMOVSS": 4, "VMOVSD": 8,
               **evex_float.GRANULARITY}
_SUFFIX = {"B": 1, "W": 2, "D": 4, "Q": 8}
NO_ROUNDING = -1                # the rounding mode is MXCSR's
_MODES = {RoundingControl.ROUND_TO_NEAREST: 0, RoundingControl.ROUND_DOWN: 1, RoundingControl.ROUND_UP: 2,
          RoundingControl.ROUND_TOWARD_ZERO: 3}


class Facts(NamedTuple):
    """Of a form: bytes for each bit of its mask, whether masked-off memory is not accessed, the whole of its memory
    operand in bytes where that is broadcast, whether it is scalar, whether its memory operand is repeated, and how many
    elements that has where registers do not tell (else 0)."""

    element: int
    suppresses: bool
    memory: int
    scalar: bool
    repeated: bool
    lanes: int


@cache
def facts(code: int, by_immediate: bool) -> Facts:
    """Facts about a form. NotImplementedInstruction: no lowering knows of it."""
    info = OpCodeInfo(code)
    name = mnemonic_name(info.mnemonic)
    suppresses = name in SUPPRESSING or (name in SUPPRESSING_BY_IMMEDIATE and by_immediate)
    if not suppresses and name not in UNSUPPRESSED and name not in SUPPRESSING_BY_IMMEDIATE:
        raise NotImplementedInstruction
    size = info.broadcast_memory_size if info.can_broadcast else info.memory_size
    element = GRANULARITY.get(name) or MemorySizeExt.element_size(size)
    if name.startswith(("VPMOVSX", "VPMOVZX", "VPBROADCAST")):
        element = _SUFFIX[name[-1]]
    memory = MemorySizeExt.size(info.memory_size)
    repeated = name.startswith(("VBROADCAST", "VPBROADCAST"))
    scalar = name.endswith(SCALARS) and not repeated and (memory in (0, element) or name in evex_float.CONVERSIONS)
    counted = MemorySizeExt.element_count(info.memory_size) if name in evex_float.COUNTED else 0
    return Facts(element, suppresses, memory, scalar, repeated, counted)


class Evex:
    """The EVEX part of one instruction. `mask` is the number of its opmask register, 0 for none; `rounding` is a mode
    as MXCSR numbers them, or NO_ROUNDING."""

    def __init__(self, insn: Instruction) -> None:
        from emu.decode.operands import is_immediate
        self.facts = facts(insn.code, is_immediate(insn, insn.op_count - 1))
        self.mask = RegisterExt.number(insn.op_mask) if insn.op_mask != Register.NONE else 0
        self.zeroing = insn.zeroing_masking
        self.broadcast = insn.is_broadcast
        self.rounding = _MODES.get(insn.rounding_control, NO_ROUNDING)
        self.quiet = insn.suppress_all_exceptions or self.rounding != NO_ROUNDING
        self.loaded = MemorySizeExt.size(insn.memory_size) if insn.memory_size != MemorySize.UNKNOWN else 0
