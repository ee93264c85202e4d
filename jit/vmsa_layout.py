"""What compiled code knows of the VMSA (APM Vol. 2, appendix B, table B-4): byte offsets in the page.

The whole table, with names and sizes, is emu/planes/snp/vmsa.py; tests hold the two together.
"""

SEGMENT_BYTES, SELECTOR, ATTRIBUTES, LIMIT, BASE = 16, 0, 2, 4, 8
SEGMENTS = 0x000                        # ES CS SS DS FS GS as in jit/layout.py, then the four below
GDTR, LDTR, IDTR, TR = 0x060, 0x070, 0x080, 0x090
PL0_SSP, PL3_SSP, U_CET = 0x0A0, 0x0B8, 0x0C0                   # PL0_SSP: three up to PL2_SSP
VMPL, CPL, EFER = 0x0CA, 0x0CB, 0x0D0
XSS, CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP, DR = (
    0x140, 0x148, 0x150, 0x158, 0x160, 0x168, 0x170, 0x178, 0x180)
S_CET, SSP, ISST, DEBUGCTL = 0x1E0, 0x1E8, 0x1F0, 0x270         # DEBUGCTL: with the four of last branch and exception
RSP, RAX, STAR, CR2, PAT = 0x1D8, 0x1F8, 0x200, 0x240, 0x268    # STAR: eight MSRs up to SYSENTER_EIP
PKRU, TSC_AUX = 0x2E8, 0x2EC
TSC_SCALE, TSC_OFFSET = 0x2F0, 0x2F8
RCX, RBP = 0x308, 0x328                 # RCX RDX RBX; RBP RSI RDI R8-R15
EXITINFO1, EXITINFO2, EXITINTINFO, NRIP, SEV_FEATURES, VINTR_CTRL, EXITCODE = (
    0x390, 0x398, 0x3A0, 0x3A8, 0x3B0, 0x3B8, 0x3C0)
VIRTUAL_TOM, PCPU_ID, EVENTINJ, XCR0 = 0x3C8, 0x3D8, 0x3E0, 0x3E8
X87_DP, MXCSR, FTW, FSW, FCW, FOP, X87_DS, X87_CS, X87_RIP = (
    0x400, 0x408, 0x40C, 0x40E, 0x410, 0x412, 0x414, 0x416, 0x418)
X87_SIGNIFICANDS, X87_EXPONENTS, XMM, YMM_HIGH = 0x420, 0x460, 0x470, 0x570

EFER_SVME = 1 << 12
FEATURE_VTOM, FEATURE_RESTRICTED, FEATURE_ALTERNATE, FEATURE_DEBUG_SWAP, FEATURE_SECURE_TSC = (
    1 << 1, 1 << 3, 1 << 4, 1 << 5, 1 << 9)
# Of VINTR_CTRL; EVENT_VALID of EVENTINJ
V_IRQ, INT_SHADOW, V_NMI, V_NMI_MASK, IGNORE_TPR, BUSY, PRIORITY_SHIFT = (
    1 << 8, 1 << 10, 1 << 11, 1 << 12, 1 << 20, -(1 << 63), 16)
EVENT_VALID = 1 << 31
EXIT_VMGEXIT = 0x403
