"""Numbers of what a more privileged plane denies and intercepts, free of numba: jit/second_stage.py and jit/traps.py
use them, and so does the machine, which fills the tables."""

# Bits of a byte in a plane's table of denials; the first three are 1 << kind of access.
# Shared accesses (C-bit clear) of SEV-SNP guests have bits of their own, and so have their supervisor shadow stacks.
DENY_READ, DENY_WRITE, DENY_EXECUTE, DENY_USER_EXECUTE, DENY_SHARED_READ, DENY_SHARED_WRITE, DENY_SHADOW_STACK = (
    1, 2, 4, 8, 16, 32, 64)
DENY_ALL = 0x7F
SHARED_SHIFT = 4                        # from an access's bit to that of a shared one

# DENIED_HOW: of an entry of a page table; a data access with the C-bit clear; of a supervisor shadow stack that needs
# a permission of its own.
HOW_WALK, HOW_SHARED, HOW_SHADOW_STACK = 1, 2, 4

# Bits of TRAPS, in the order of CrInterceptControl (TLFS, Virtual Secure Mode).
(CR0_WRITE, CR4_WRITE, XCR0_WRITE, MISC_ENABLE_READ, MISC_ENABLE_WRITE, LSTAR_READ, LSTAR_WRITE, STAR_READ, STAR_WRITE,
 CSTAR_READ, CSTAR_WRITE, APIC_BASE_READ, APIC_BASE_WRITE, EFER_READ, EFER_WRITE, GDTR_WRITE, IDTR_WRITE, LDTR_WRITE,
 TR_WRITE, SYSENTER_CS_WRITE, SYSENTER_EIP_WRITE, SYSENTER_ESP_WRITE, SFMASK_WRITE, TSC_AUX_WRITE) = range(24)
# Then what a hypervisor of an SEV-ES guest may intercept (APM Vol. 2 appendix C).
DR7_READ, DR7_WRITE, RDTSC, RDTSCP, INVD, WBINVD, MONITOR, MWAIT = range(24, 32)
EXCEPTION = 32                          # then exceptions, by vector

# The model-specific registers that are fields of the register file (SDM Vol. 4 table 2-2; APM Vol. 2 appendix A).
(IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP, IA32_PAT, IA32_EFER, IA32_STAR, IA32_LSTAR, IA32_CSTAR,
 IA32_FMASK, IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_TSC_AUX, IA32_PKRS,
 IA32_XSS, IA32_U_CET, IA32_S_CET, IA32_PL0_SSP, IA32_PL1_SSP, IA32_PL2_SSP, IA32_PL3_SSP,
 IA32_INTERRUPT_SSP_TABLE_ADDR) = (
    0x174, 0x175, 0x176, 0x277, 0xC0000080, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000100, 0xC0000101,
    0xC0000102, 0xC0000103, 0x6E1, 0xDA0, 0x6A0, 0x6A2, 0x6A4, 0x6A5, 0x6A6, 0x6A7, 0x6A8)
MSR_GHCB = 0xC0010130                   # of SEV-ES guests only
