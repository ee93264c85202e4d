"""Instructions that Strata leaves out on purpose: iced's CpuidFeature names, by the reason. Each raises #UD, except
those of emu/isa/coverage.py's HINTS, which are no-operations on processors that lack them."""

REASONS: dict[str, tuple[str, ...]] = {
    "never on a processor with 64-bit mode": (
        "CYRIX_D3NOW", "CYRIX_DDI", "CYRIX_DMI", "CYRIX_EMMI", "CYRIX_FPU", "CYRIX_SHR", "CYRIX_SMINT",
        "CYRIX_SMINT_0F7E", "CYRIX_SMM", "CENTAUR_AIS", "IA64", "INTEL286_ONLY", "INTEL386_ONLY", "INTEL386_A0_ONLY",
        "INTEL486_A_ONLY", "INTEL8086_ONLY", "FPU287XL_ONLY", "FPU387SL_ONLY", "MOV_TR", "UMOV"),
    "VIA only": ("PADLOCK_ACE", "PADLOCK_GMI", "PADLOCK_PHE", "PADLOCK_PMM", "PADLOCK_RNG", "PADLOCK_UNDOC"),
    "Knights processors only": ("KNC", "AVX512ER", "AVX512PF", "AVX512_4FMAPS", "AVX512_4VNNIW"),
    "withdrawn by AMD": ("D3NOW", "D3NOWEXT", "XOP", "FMA4", "TBM", "LWP"),
    "withdrawn by Intel": ("MPX", "PCOMMIT", "OSS", "CL1INVMB"),
    "transactional memory, which processors disable": ("RTM", "HLE_OR_RTM", "TSXLDTRK"),
    "tile matrices": ("AMX_BF16", "AMX_COMPLEX", "AMX_FP16", "AMX_INT8", "AMX_TILE"),
    "keys that software never sees": ("AESKLE", "WIDE_KL", "KL", "PCONFIG", "TSE"),
    "no nested virtualization": ("VMX", "INVEPT", "INVVPID", "SVM", "SKINIT_OR_SVM"),
    "other ways to isolate code": ("SGX1", "SMX", "TDX"),
    "no processor trace, no performance counters": ("PTWRITE", "RDPRU", "MCOMMIT", "HRESET", "UDBG"),
    "not in the processors that the CPU models describe": (
        "FRED", "LKGS", "MSRLIST", "WRMSRNS", "RAO_INT", "CMPCCXADD", "AVX_NE_CONVERT", "AVX_VNNI_INT8",
        "AVX_VNNI_INT16", "SHA512", "SM3", "SM4"),
    "no device or scheduler of a PC here uses it": ("ENQCMD", "UINTR"),
}
REASON = {feature: reason for reason, features in REASONS.items() for feature in features}
