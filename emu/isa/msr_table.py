"""Model-specific registers that are state: reset value and which bits software may write (SDM Vol. 4 chapter 2; APM
Vol. 2 appendix A). `Plain.inert` are bits that are kept but have no effect here, which is reported when one is set."""

from __future__ import annotations

from typing import NamedTuple

ALL = (1 << 64) - 1
MTRR_VARIABLE, MTRR_COUNT = 0x200, 8
MTRR_FIXED = (0x250, 0x258, 0x259, *range(0x268, 0x270))
MTRR_DEF_TYPE = 0x2FF
MTRR_TYPES = frozenset((0, 1, 4, 5, 6))         # UC, WC, WT, WP, WB (SDM Vol. 3A table 11-8)
MCA_BANKS = 10
MC0_CTL, MC_CTL, MC_STATUS, MC_REGISTERS = 0x400, 0, 1, 4       # CTL, STATUS, ADDR, MISC of each bank
MCG_CTL_P = 1 << 8
GART_ERRORS = 1 << 10           # in CTL of bank 4
PERF_CTL0, PERF_CTR0, PERF_COUNTERS = 0xC0010000, 0xC0010004, 4
PERF_CTL_WRITABLE = 0x30F_FFD7_FFFF             # emu/isa/perfmon.py
PRED_CMD = 0x49
LIMIT_CPUID, XD_DISABLE = 1 << 22, 1 << 34      # IA32_MISC_ENABLE
PHYSICAL = (1 << 48) - 1


class Plain(NamedTuple):
    """A register that keeps what is written. Writing another bit than `writable` is #GP(0), except that bits in
    `kept` stay as they are; of a `fixed` one any write is, of a `command` any read. `needs`: the extensions, of which
    one brings it (emu/isa/extensions.py); `brought`: bits that may be written where one of some extensions is there."""

    name: str
    reset: int = 0
    writable: int = ALL
    kept: int = 0
    inert: int = 0
    fixed: bool = False
    needs: str = ""
    command: bool = False
    brought: tuple[tuple[str, int], ...] = ()


PLAIN: dict[int, Plain] = {
    0x17: Plain("IA32_PLATFORM_ID", fixed=True),
    0x3A: Plain("IA32_FEATURE_CONTROL", 1, fixed=True),          # locked
    # Switches of speculation, of which there is none (AMD, "Software Techniques for Managing Speculation"; SDM Vol. 4).
    0x48: Plain("IA32_SPEC_CTRL", writable=0, needs="ibrs spec_ctrl amd_ssbd ssbd", brought=(
        ("ibrs spec_ctrl", 1 << 0), ("amd_stibp stibp spec_ctrl", 1 << 1), ("amd_ssbd ssbd", 1 << 2),
        ("amd_psfd", 1 << 7))),
    PRED_CMD: Plain("IA32_PRED_CMD", writable=1, needs="ibpb spec_ctrl", command=True),
    0x8B: Plain("IA32_BIOS_SIGN_ID", 0x0A0011D1 << 32),
    0xE2: Plain("MSR_PKG_CST_CONFIG_CONTROL", 1 << 15, fixed=True, needs="monitor"),     # locked, no package C-states
    0x1FC: Plain("MSR_POWER_CTL", needs="monitor"),              # C1E and what else decides of power alone
    0xE1: Plain("IA32_UMWAIT_CONTROL", writable=0xFFFF_FFFD, needs="waitpkg"),
    0xFE: Plain("IA32_MTRRCAP", MTRR_COUNT | 1 << 8 | 1 << 10, fixed=True),
    0x179: Plain("IA32_MCG_CAP", MCA_BANKS | MCG_CTL_P, fixed=True, needs="mca"),
    0x17A: Plain("IA32_MCG_STATUS", writable=0b111, needs="mca"),
    0x17B: Plain("IA32_MCG_CTL", ALL, needs="mca"),
    # Fast strings; no performance monitoring, branch trace store or precise events to report (bits 7, 11, 12).
    0x1A0: Plain("IA32_MISC_ENABLE", 0x1801, 0x44_00D5_0009, 0x1880, XD_DISABLE | LIMIT_CPUID),
    MTRR_DEF_TYPE: Plain("IA32_MTRR_DEF_TYPE", writable=0xCFF),
    0xC0010010: Plain("SYSCFG", writable=0xFFFF_FFFF),
    0xC0010015: Plain("HWCR", 1 << 24),
    0xC001001F: Plain("NB_CFG"),
    0xC0011029: Plain("DE_CFG", 2),
    **{PERF_CTL0 + n: Plain(f"PERF_CTL{n}", writable=PERF_CTL_WRITABLE) for n in range(PERF_COUNTERS)},
    **{PERF_CTR0 + n: Plain(f"PERF_CTR{n}") for n in range(PERF_COUNTERS)},
    **{MTRR_VARIABLE + 2 * n: Plain(f"IA32_MTRR_PHYSBASE{n}", writable=PHYSICAL & ~0xF00) for n in range(MTRR_COUNT)},
    **{MTRR_VARIABLE + 2 * n + 1: Plain(f"IA32_MTRR_PHYSMASK{n}", writable=PHYSICAL & ~0x7FF)
       for n in range(MTRR_COUNT)},
    **{index: Plain(f"IA32_MTRR_FIX_{index:x}") for index in MTRR_FIXED},
    **{MC0_CTL + MC_REGISTERS * bank + n: Plain(f"IA32_MC{bank}_{name}", needs="mca")
       for bank in range(MCA_BANKS) for n, name in enumerate(("CTL", "STATUS", "ADDR", "MISC"))},
}


def allowed(index: int, value: int) -> bool:
    """Rules beyond reserved bits: memory types of MTRRs (SDM Vol. 3A 11.11.2), and machine-check registers, of which
    CTL takes all zeros or all ones and STATUS is only cleared (SDM Vol. 3B 15.3.2.1, 15.3.2.2); AMD's kernels clear the
    bit for GART errors (BKDG for Family 0Fh, 3.6.6)."""
    if index in MTRR_FIXED:
        return all(byte in MTRR_TYPES for byte in value.to_bytes(8, "little"))
    if index == MTRR_DEF_TYPE or MTRR_VARIABLE <= index < MTRR_VARIABLE + 2 * MTRR_COUNT and not index & 1:
        return value & 0xFF in MTRR_TYPES
    if MC0_CTL <= index < MC0_CTL + MC_REGISTERS * MCA_BANKS:
        register = index % MC_REGISTERS
        if register == MC_CTL:
            return value in (0, ALL, ALL & ~GART_ERRORS)
        return register != MC_STATUS or value == 0
    return True
