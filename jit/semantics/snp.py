"""Instructions of SEV-ES and SEV-SNP guests and of their hypervisors (APM Vol. 3)."""

from jit import exits
from jit.fault import general_protection
from jit.layout import CPL, IO_VALUE, MODE, MODE_64, SNP_ACTIVE
from jit.native import State, rd64, wr64
from jit.registry import END, op
from jit.semantics.wiring import SNP_INVLPGB, SNP_PVALIDATE, SNP_TLBSYNC


@op("snp", kind=END)
def snp(st: State, d: int, a: int, b: int, imm: int) -> int:
    """SNP_* number imm; what it does is the plane model's, or the machine's for those that need no guest. All need
    CPL 0, and all but PVALIDATE 64-bit mode."""
    anywhere = imm == SNP_INVLPGB or imm == SNP_TLBSYNC
    if (rd64(st, SNP_ACTIVE) == 0 and not anywhere) or (imm != SNP_PVALIDATE and rd64(st, MODE) & 3 != MODE_64):
        return exits.UNIMPLEMENTED
    if rd64(st, CPL) != 0:
        return general_protection(st, 0)
    wr64(st, IO_VALUE, imm)
    return exits.SNP


@op("vmgexit", kind=END)
def vmgexit(st: State, d: int, a: int, b: int, imm: int) -> int:
    """At any CPL (APM Vol. 2 15.35.6). Outside SEV-ES guests it is VMMCALL."""
    return exits.VMGEXIT if rd64(st, SNP_ACTIVE) != 0 else exits.HYPERCALL
