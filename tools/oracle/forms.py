"""Every instruction form of iced's tables: which family compares it, or why it is not compared with a host."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from iced_x86 import EncodingKind, Mnemonic, OpCodeInfo, OpCodeOperandKind

from emu.decode.names import code_name, mnemonic_name
from emu.isa.coverage import features, table
from tools.oracle.encode import available

FAMILIES = ("integer", "x87", "mmx", "sse", "avx", "avx512", "system")

_OPERANDS = {v: n for n in dir(OpCodeOperandKind) if not n.startswith("_")
             and isinstance(v := getattr(OpCodeOperandKind, n), int)}
# What /proc/cpuinfo calls a feature that iced names otherwise; several names where each is needed.
_HOST_FLAGS = {
    "SSE3": "pni", "LZCNT": "abm", "CMPXCHG16B": "cx16", "SHA": "sha_ni", "PREFETCHW": "3dnowprefetch", "CLFSH":
    "clflush", "AVX512_VBMI": "avx512vbmi", "AVX512_IFMA": "avx512ifma", "PKU": "pku", "SSE4A": "sse4a",
    "SYSCALL": "syscall", "PCLMULQDQ": "pclmulqdq", "MULTIBYTENOP": "", "FPU": "fpu", "FPU287": "fpu", "FPU387":
    "fpu", "CMOV": "cmov", "FXSR": "fxsr", "XSAVE": "xsave", "MSR": "msr", "TSC": "tsc", "CPUID": "", "RDPMC": "",
    "PAUSE": "", "X64": "lm", "SEP": "sep", "SMAP": "smap", "HLE_OR_RTM": "rtm", "CET_IBT": "ibt",
    "CET_SS": "shstk", "AVX_IFMA": "avx_ifma", "AVX_NE_CONVERT": "avx_ne_convert"}
_BASELINE = ("INTEL8086", "INTEL186", "INTEL286", "INTEL386", "INTEL486", "CX8")

_KERNEL = "enters the host's kernel"
_OWN = "the answer is the machine's own"
_TABLES = "the host's descriptor tables are its kernel's"
_HYPERVISOR = "belongs to the host's hypervisor"
NOT_COMPARED = {
    **dict.fromkeys(("SYSCALL", "SYSENTER", "INT", "INTO", "INT1", "INT3", "IRET", "IRETD", "IRETQ", "SYSRET",
                     "SYSEXIT", "SYSRETQ", "SYSEXITQ"), _KERNEL),
    **dict.fromkeys(("CPUID", "RDTSC", "RDTSCP", "RDPMC", "RDPID", "RDRAND", "RDSEED", "XGETBV", "MONITOR", "MWAIT",
                     "MONITORX", "MWAITX", "UMONITOR", "UMWAIT", "TPAUSE"),
                    _OWN),
    **dict.fromkeys(("SGDT", "SIDT", "SLDT", "STR", "SMSW", "LAR", "LSL", "VERR", "VERW", "LDS", "LES", "LFS", "LGS",
                     "LSS", "RETF", "ARPL"), _TABLES),
    **dict.fromkeys(("VMCALL", "VMMCALL", "VMLAUNCH", "VMRESUME", "VMFUNC", "VMXON", "VMXOFF", "VMREAD", "VMWRITE",
                     "VMPTRLD", "VMPTRST", "VMCLEAR", "INVEPT", "INVVPID", "GETSEC", "ENCLU", "ENCLS", "ENCLV",
                     "SEAMCALL", "SEAMRET", "SEAMOPS", "TDCALL", "PCONFIG"), _HYPERVISOR),
    **dict.fromkeys(("RDPKRU", "WRPKRU", "RDSSPD", "RDSSPQ", "INCSSPD", "INCSSPQ", "WRSSD", "WRSSQ", "RSTORSSP",
                     "SAVEPREVSSP"), "the host's kernel decides whether it can be used"),
    "SALC": "not in Intel's manual",
    "XBEGIN": "transactions", "XEND": "transactions", "XABORT": "transactions", "XTEST": "transactions",
}
_SEGMENT_LOADS = {"MOV_SREG_RM16", "MOV_SREG_R32M16", "MOV_SREG_R64M16", "POPW_DS", "POPW_ES", "POPW_SS", "POPW_FS",
                  "POPW_GS", "POPD_DS", "POPD_ES", "POPD_SS", "POPD_FS", "POPD_GS", "POPQ_FS", "POPQ_GS"}
_FAR = ("CALL_M16", "JMP_M16", "CALL_PTR", "JMP_PTR")


class Form(NamedTuple):
    """An instruction form in code of one size."""

    code: int
    bits: int

    @property
    def name(self) -> str:
        return code_name(self.code)


@cache
def kinds(code: int) -> tuple[str, ...]:
    """Names of the operand kinds."""
    return tuple(_OPERANDS[kind] for kind in OpCodeInfo(code).op_kinds())


def lacking(code: int, flags: set[str]) -> str | None:
    """A feature of the form that a host with these flags of /proc/cpuinfo lacks, or None."""
    for feature in features(code):
        flag = _HOST_FLAGS.get(feature, feature.lower())
        if flag and flag not in flags and feature not in _BASELINE:
            return feature
    return None


def family(code: int) -> str:
    """Which of FAMILIES compares the form."""
    info = OpCodeInfo(code)
    names = kinds(code)
    if info.encoding == EncodingKind.EVEX or any(n.startswith(("K_", "KP1")) for n in names):
        return "avx512"
    opcode = info.op_code >> 8 if info.op_code_len == 2 else info.op_code
    if info.encoding == EncodingKind.LEGACY and (0xD8 <= opcode <= 0xDF and info.table == 0
                                                 or info.mnemonic == Mnemonic.WAIT):
        return "x87"
    if info.is_privileged or info.must_be_cpl0 or info.is_input_output or info.may_require_cpl0:
        return "system"
    if any(n.startswith(("XMM", "YMM")) or "VSIB" in n for n in names) or code_name(code).startswith(
            ("VEX_VZERO", "VEX_VLDMXCSR", "VEX_VSTMXCSR")):
        return "avx" if info.encoding == EncodingKind.VEX else "sse"
    if any(n.startswith("MM_") for n in names) or info.mnemonic == Mnemonic.EMMS:
        return "mmx"
    if mnemonic_name(info.mnemonic).startswith(("FXSAVE", "FXRSTOR", "LDMXCSR", "STMXCSR", "XSAVE", "XRSTOR")):
        return "sse"
    return "integer"


def not_compared(code: int) -> str | None:
    """Why no case of the form is run on a host that has it, or None."""
    name = code_name(code)
    info = OpCodeInfo(code)
    if info.fwait:
        return "FWAIT and another instruction, each compared by itself"
    if not available(code, 64) and not available(code, 32):
        return "not an instruction of current Intel processors"
    if any(feature.startswith("AMX") for feature in features(code)):
        return "tiles need the kernel's permission"
    if name in _SEGMENT_LOADS or name.startswith(_FAR):
        return _TABLES
    return NOT_COMPARED.get(mnemonic_name(info.mnemonic))


def forms(families: tuple[str, ...] = FAMILIES) -> list[Form]:
    """Every form of some families in each size of code that has it, whether or not anything implements it."""
    return [Form(entry.code, bits) for bits in (64, 32) for entry in table() if available(entry.code, bits)
            and OpCodeInfo(entry.code).encoding in (EncodingKind.LEGACY, EncodingKind.VEX, EncodingKind.EVEX)
            and family(entry.code) in families]
