"""Names of virtual-processor registers (TLFS, appendix "Virtual processor register names")."""

from __future__ import annotations

from emu.planes.vsm import msrs, stimer, synic

INTERNAL_ACTIVITY_STATE = 0x4
PENDING_INTERRUPTION, INTERRUPT_STATE, PENDING_EVENT_0, PENDING_EVENT_1 = range(0x10002, 0x10006)
GPR, RIP, RFLAGS, XMM = 0x20000, 0x20010, 0x20011, 0x30000
CR0, CR2, CR3, CR4, CR8, XCR0 = range(0x40000, 0x40006)
DR0, DR6, DR7 = 0x50000, 0x50004, 0x50005
ES, CS, SS, DS, FS, GS, LDTR, TR = range(0x60000, 0x60008)
IDTR, GDTR = 0x70000, 0x70001
(TSC, EFER, KERNEL_GS_BASE, APIC_BASE, PAT, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP, STAR, LSTAR, CSTAR, SFMASK,
 INITIAL_APIC_ID) = range(0x80000, 0x8000D)
TSC_AUX, DEBUGCTL, XSS, U_CET, S_CET, SSP, PL0_SSP = 0x8007B, 0x8007D, 0x8008B, 0x8008C, 0x8008D, 0x8008E, 0x8008F
PL3_SSP, INTERRUPT_SSP_TABLE, TSC_DEADLINE, TSC_ADJUST = 0x80092, 0x80093, 0x80095, 0x80096
FP_MMX, FP_CONTROL_STATUS, XMM_CONTROL_STATUS, YMM_HIGH = 0x30010, 0x30018, 0x30019, 0xC0010
# Architectural MSRs that all VTLs of a virtual processor share.
SHARED_MSRS = {
    0x8000D: 0xFE, 0x8000E: 0x2FF,                                                      # IA32_MTRRCAP, _DEF_TYPE
    **{0x80010 + n: 0x200 + 2 * n for n in range(8)}, **{0x80040 + n: 0x201 + 2 * n for n in range(8)},
    0x80070: 0x250, **{0x80071 + n: 0x258 + n for n in range(2)}, **{0x80073 + n: 0x268 + n for n in range(8)},
    0x800A0: 0x1A0,                                                                     # IA32_MISC_ENABLE
}
APIC_ID, APIC_LAST = 0x84802, 0x8483F
HYPERVISOR_VERSION, FEATURES_INFO = 0x100, 0x200
(VSM_CODE_PAGE_OFFSETS, VSM_VP_STATUS, VSM_PARTITION_STATUS, VSM_VINA, VSM_CAPABILITIES, VSM_PARTITION_CONFIG,
 GUEST_VSM_PARTITION_CONFIG) = range(0xD0002, 0xD0009)
VSM_VP_SECURE_CONFIG, VSM_VP_WAIT_FOR_TLB_LOCK = 0xD0010, 0xD0020

# Registers that are 128-bit views of hypervisor CPUID leaves.
CPUID_LEAVES = {HYPERVISOR_VERSION: 0x40000002} | {FEATURES_INFO + n: 0x40000003 + n for n in range(8)}

# Registers that are synthetic MSRs by another name.
MSRS = {
    0x240: msrs.TSC_FREQUENCY, 0x241: msrs.APIC_FREQUENCY, 0x215: msrs.CRASH_CTL,
    0x90000: msrs.VP_RUNTIME, 0x90001: msrs.HYPERCALL, 0x90002: msrs.GUEST_OS_ID, 0x90003: msrs.VP_INDEX,
    0x90004: msrs.TIME_REF_COUNT, 0x90010: msrs.EOI, 0x90011: msrs.ICR, 0x90012: msrs.TPR,
    0x90013: msrs.VP_ASSIST_PAGE, 0x90017: msrs.REFERENCE_TSC,
    0xA0010: synic.SCONTROL, 0xA0011: synic.SVERSION, 0xA0012: synic.SIEFP, 0xA0013: synic.SIMP, 0xA0014: synic.EOM,
    0xA0015: synic.SIRBP,
} | {0xA0000 + n: synic.SINT0 + n for n in range(synic.SINTS)} | {
    0xB0000 + n: stimer.CONFIG0 + n for n in range(2 * stimer.TIMERS)} | {
    0x210 + n: msrs.CRASH_P0 + n for n in range(msrs.CRASH_PARAMETERS)}

_ABSENT = {
    0x0: "ExplicitSuspend", 0x1: "InterceptSuspend", 0x2: "InstructionEmulationHints", 0x3: "DispatchSuspend",
    0x250: "GuestIdle", 0x10006: "DeliverabilityNotifications",
}


def describe(name: int) -> str:
    """A register's number, with its name where it is known but not implemented."""
    known = _ABSENT.get(name)
    return f"{name:#x} ({known})" if known else f"{name:#x}"
