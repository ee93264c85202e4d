"""Names of virtual-processor registers (TLFS, appendix "Virtual processor register names")."""

from __future__ import annotations

from emu.planes.vsm import msrs, synic

VSM_CODE_PAGE_OFFSETS, VSM_VP_STATUS, VSM_PARTITION_STATUS, VSM_VINA, VSM_CAPABILITIES, VSM_PARTITION_CONFIG = range(
    0xD0002, 0xD0008)

# Registers that are synthetic MSRs by another name.
MSRS = {
    0x240: msrs.TSC_FREQUENCY, 0x241: msrs.APIC_FREQUENCY,
    0x90000: msrs.VP_RUNTIME, 0x90001: msrs.HYPERCALL, 0x90002: msrs.GUEST_OS_ID, 0x90003: msrs.VP_INDEX,
    0x90004: msrs.TIME_REF_COUNT, 0x90010: msrs.EOI, 0x90011: msrs.ICR, 0x90012: msrs.TPR,
    0x90013: msrs.VP_ASSIST_PAGE, 0x90017: msrs.REFERENCE_TSC,
    0xA0010: synic.SCONTROL, 0xA0011: synic.SVERSION, 0xA0012: synic.SIEFP, 0xA0013: synic.SIMP, 0xA0014: synic.EOM,
} | {0xA0000 + n: synic.SINT0 + n for n in range(synic.SINTS)}

_ABSENT = {
    0x10002: "PendingInterruption", 0x10003: "InterruptState", 0x10004: "PendingEvent0", 0x10005: "PendingEvent1",
    0x10006: "DeliverabilityNotifications", VSM_VINA: "VsmVina", 0xD0020: "VsmVpWaitForTlbLock",
    0xE0000: "CrInterceptControl", 0xE0001: "CrInterceptCr0Mask", 0xE0002: "CrInterceptCr4Mask",
    0xE0003: "CrInterceptMiscEnableMask",
} | {0xD0010 + n: f"VsmVpSecureConfigVtl{n}" for n in range(15)}


def describe(name: int) -> str:
    """A register's number, with its name where it is known but not implemented."""
    known = _ABSENT.get(name)
    return f"{name:#x} ({known})" if known else f"{name:#x}"
