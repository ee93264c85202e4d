"""The GHCB MSR protocol: requests and answers in MSR C001_0130 itself (GHCB specification, 2.3.1)."""

from __future__ import annotations

GHCB_MSR = 0xC001_0130

INFO = 0xFFF                    # bits 11:0 say what it is; 0 there: the MSR is the GHCB's GPA
SEV_INFO_RESPONSE, SEV_INFO_REQUEST, AP_JUMP_TABLE = 0x001, 0x002, 0x003
CPUID_REQUEST, CPUID_RESPONSE, AP_RESET_HOLD_REQUEST, AP_RESET_HOLD_RESPONSE = 0x004, 0x005, 0x006, 0x007
PREFERRED_GPA_REQUEST, PREFERRED_GPA_RESPONSE, REGISTER_GPA_REQUEST, REGISTER_GPA_RESPONSE = 0x010, 0x011, 0x012, 0x013
PSC_REQUEST, PSC_RESPONSE, RUN_VMPL_REQUEST, RUN_VMPL_RESPONSE = 0x014, 0x015, 0x016, 0x017
FEATURES_REQUEST, FEATURES_RESPONSE, TERMINATE = 0x080, 0x081, 0x100
HV_HYPERCALL, HV_FAST_CALL, HV_OUTPUT, HV_DEBUG_PRINT = 0xF00, 0xF01, 0xF02, 0xF03
NAMES = {
    SEV_INFO_RESPONSE: "SEV information", SEV_INFO_REQUEST: "SEV information request",
    AP_JUMP_TABLE: "AP jump table", CPUID_REQUEST: "CPUID request", CPUID_RESPONSE: "CPUID response",
    AP_RESET_HOLD_REQUEST: "AP reset hold request", AP_RESET_HOLD_RESPONSE: "AP reset hold response",
    PREFERRED_GPA_REQUEST: "preferred GHCB GPA request", PREFERRED_GPA_RESPONSE: "preferred GHCB GPA response",
    REGISTER_GPA_REQUEST: "register GHCB GPA request", REGISTER_GPA_RESPONSE: "register GHCB GPA response",
    PSC_REQUEST: "page state change request", PSC_RESPONSE: "page state change response",
    RUN_VMPL_REQUEST: "run VMPL request", RUN_VMPL_RESPONSE: "run VMPL response",
    FEATURES_REQUEST: "hypervisor feature support request", FEATURES_RESPONSE: "hypervisor feature support response",
    TERMINATE: "termination request", HV_HYPERCALL: "Hyper-V hypercall", HV_FAST_CALL: "Hyper-V fast hypercall",
    HV_OUTPUT: "Hyper-V output", HV_DEBUG_PRINT: "Hyper-V debug print",
}

NO_GPA = (1 << 52) - 1          # GFN in the answers about GHCB GPAs: none, or refused
PSC_PRIVATE, PSC_SHARED, PSC_PSMASH, PSC_UNSMASH = 1, 2, 3, 4   # operations ...
PSC_BY_MSR = (PSC_PRIVATE, PSC_SHARED)                          # ... of which the MSR protocol has these

# Hypervisor features (FEATURES_RESPONSE bits 63:12, and SW_EXITINFO2 of the exit HV_FEATURES)
HV_SNP, HV_AP_CREATION, HV_RESTRICTED_INJECTION, HV_RESTRICTED_TIMER, HV_APIC_IDS = 1, 2, 4, 8, 16
HV_MULTI_VMPL, HV_PSC, HV_EXTENDED_INTERRUPTS = 1 << 5, 1 << 6, 1 << 9

# Termination reason sets, and the reasons of set 0
SET_GENERIC, SET_LINUX = 0, 1
REASON_GENERAL, REASON_PROTOCOL, REASON_FEATURES = 0, 1, 2


def info(value: int) -> int:
    """What a value of the MSR is: one of the codes above, or 0 for a GHCB's GPA."""
    return value & INFO


def sev_info(c_bit: int, minimum: int, maximum: int) -> int:
    """SEV_INFO_RESPONSE: position of the C-bit, lowest and highest protocol version."""
    return SEV_INFO_RESPONSE | c_bit << 24 | minimum << 32 | maximum << 48


def cpuid_fields(value: int) -> tuple[int, int]:
    """Of a CPUID_REQUEST: function, and number of the register asked for (0 EAX, 1 EBX, 2 ECX, 3 EDX)."""
    return value >> 32, value >> 30 & 3


def cpuid_response(register: int, value: int) -> int:
    """CPUID_RESPONSE with a register's value."""
    return CPUID_RESPONSE | register << 30 | value << 32


def gfn(value: int) -> int:
    """Bits 63:12, the frame number of requests about GHCB GPAs."""
    return value >> 12


def with_gfn(code: int, frame: int) -> int:
    """An answer about a GHCB's GPA; NO_GPA for none."""
    return code | frame << 12


def psc_fields(value: int) -> tuple[int, int]:
    """Of a PSC_REQUEST: frame number, operation."""
    return value >> 12 & (1 << 40) - 1, value >> 52 & 0xF


def run_vmpl_target(value: int) -> int:
    """Of a RUN_VMPL_REQUEST: the VMPL."""
    return value >> 32 & 0xFF


def with_error(code: int, error: int) -> int:
    """PSC_RESPONSE or RUN_VMPL_RESPONSE: 0 for success."""
    return code | error << 32


def termination(value: int) -> tuple[int, int]:
    """Of a TERMINATE: reason set, reason."""
    return value >> 12 & 0xF, value >> 16 & 0xFF
