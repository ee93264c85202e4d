"""Which of iced-x86's Codes are implemented, which are left out on purpose, and which are still to come.

Implemented means that the decoder's lowering accepts the instruction (emu/decode/lowering.py): nothing here repeats
what the lowerings say.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import NamedTuple

from iced_x86 import Code, CpuidFeature, DecoderOptions, Instruction, OpCodeInfo

from emu.isa.absent import REASON
from emu.isa.example import codes, examples
from jit.layout import MODE_32, MODE_64, MODE_FLAT_CODE, MODE_STACK32

# Carried out by every processor as far as its hypervisor interface goes (emu/planes), with or without VMX and SVM.
ALWAYS = frozenset((
    Code.VMCALL, Code.VMMCALL, Code.VMGEXIT, Code.VMGEXIT_F2, Code.PVALIDATEW, Code.PVALIDATED, Code.PVALIDATEQ,
    Code.RMPADJUST, Code.RMPQUERY, Code.RMPUPDATE, Code.PSMASH))
# No-operations where the extension is absent (SDM Vol. 2A ENDBR64, CLDEMOTE, PREFETCHW, RDSSPD, BNDMK; APM Vol. 3
# PREFETCH). iced decodes 0F1A and 0F1B, MPX's, as reserved NOPs by itself.
HINT_FEATURES = frozenset(("CET_IBT", "CLDEMOTE", "PREFETCHW", "PREFETCHWT1", "PREFETCHITI", "MULTIBYTENOP", "PAUSE"))
HINTS = frozenset((Code.RDSSPD_R32, Code.RDSSPQ_R64))


class Status(Enum):
    """What becomes of an instruction form."""

    IMPLEMENTED = "implemented"
    ABSENT = "deliberately absent"
    NOT_YET = "not yet implemented"


class Entry(NamedTuple):
    """One Code. `features`: iced's CpuidFeature names, all of which it needs; `reason`: why it is absent, or ""."""

    code: int
    name: str
    features: tuple[str, ...]
    status: Status
    reason: str


@cache
def _feature_names() -> dict[int, str]:
    return {getattr(CpuidFeature, n): n for n in dir(CpuidFeature)
            if not n.startswith("_") and isinstance(getattr(CpuidFeature, n), int)}


@cache
def features(code: int) -> tuple[str, ...]:
    """CpuidFeature names of a Code."""
    insn = Instruction()
    insn.code = code
    return tuple(_feature_names()[feature] for feature in insn.cpuid_features())


def lowered(code: int) -> bool:
    """Whether the decoder turns every form of the instruction (register and memory operands) into micro-ops."""
    from emu.decode import lowering
    from emu.decode.emitter import Emitter
    lowering.load_families()
    info = OpCodeInfo(code)
    function = lowering.CODES.get(code) or lowering.TABLE.get(info.mnemonic)
    if function is None:
        return False
    mode = MODE_64 if info.mode64 else MODE_32 | MODE_STACK32 | MODE_FLAT_CODE
    for insn in examples(code):
        emitter = Emitter(mode)
        emitter.data = b"\xd8".ljust(16, b"\0")       # where an x87 opcode is looked for
        try:
            function(emitter, insn)
        except lowering.NotImplementedInstruction:
            return False
    return True


@cache
def absent(code: int) -> bool:
    """Whether the Code is left out on purpose, even where its mnemonic has a lowering (TBM's BEXTR)."""
    return code not in ALWAYS and any(feature in REASON for feature in features(code))


def classify(code: int) -> Entry:
    """The entry of one Code."""
    named, info = features(code), OpCodeInfo(code)
    reason = next((REASON[feature] for feature in named if feature in REASON), "")
    if absent(code):
        status = Status.ABSENT
    elif info.fwait or lowered(code):       # FINIT is WAIT and FNINIT; iced decodes the two
        status = Status.IMPLEMENTED
        reason = ""
    else:
        status = Status.NOT_YET
    assert status is Status.ABSENT or info.decoder_option == DecoderOptions.NONE, code
    return Entry(code, codes()[code], named, status, reason)


@cache
def table() -> tuple[Entry, ...]:
    """Every Code that is an instruction (not data declarations), in iced's order."""
    return tuple(classify(code) for code in sorted(codes()) if OpCodeInfo(code).is_instruction)


def by_extension() -> dict[str, dict[Status, int]]:
    """Counts of Codes, by extension: its iced name, the names joined by + where an instruction needs several."""
    found: dict[str, dict[Status, int]] = {}
    for entry in table():
        counts = found.setdefault("+".join(entry.features), dict.fromkeys(Status, 0))
        counts[entry.status] += 1
    return dict(sorted(found.items()))
