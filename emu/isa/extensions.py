"""Every extension that CPUID can offer, one line each: where its bit is, and which instructions and bits it stands for.

`done` says whether Strata implements the extension: what is not done is never offered, whatever the CPU model has
(emu/isa/models.py), and its instructions raise #UD. Names are those of Linux and QEMU, with underscores. Sources: SDM
Vol. 2A CPUID; APM Vol. 3 appendix E.
"""

from __future__ import annotations

from typing import NamedTuple

DONE, NOT_YET = True, False

Place = tuple[int, int, int]            # leaf, subleaf, register: index in (EAX, EBX, ECX, EDX)
EAX, EBX, ECX, EDX = range(4)
L1C, L1D = (1, 0, ECX), (1, 0, EDX)
L7B, L7C, L7D, L71A = (7, 0, EBX), (7, 0, ECX), (7, 0, EDX), (7, 1, EAX)
XSTATE = (0xD, 1, EAX)
E1C, E1D, E8B = (0x80000001, 0, ECX), (0x80000001, 0, EDX), (0x80000008, 0, EBX)
E7D, E21A, E21C = (0x80000007, 0, EDX), (0x80000021, 0, EAX), (0x80000021, 0, ECX)

# State components that an extension needs enabled in XCR0 (SDM Vol. 1 13.1)
YMM, ZMM, PKRU = 1 << 2, 0b111 << 5, 1 << 9
CET = 0b11 << 11                        # of IA32_XSS


class Extension(NamedTuple):
    """`iced`: CpuidFeature names of its instructions; the others: bits that software may set thanks to it in XCR0, CR4,
    EFER, IA32_XSS, and in IA32_U_CET and IA32_S_CET."""

    name: str
    place: Place
    bit: int
    done: bool
    iced: tuple[str, ...] = ()
    xcr0: int = 0
    cr4: int = 0
    efer: int = 0
    xss: int = 0
    cet: int = 0


TABLE = (
    Extension("fpu", L1D, 0, DONE, ("FPU", "FPU287", "FPU387")),
    Extension("vme", L1D, 1, DONE, cr4=0b11),
    Extension("de", L1D, 2, DONE, cr4=1 << 3),
    Extension("pse", L1D, 3, DONE, cr4=1 << 4),
    Extension("tsc", L1D, 4, DONE, ("TSC",), cr4=1 << 2),
    Extension("msr", L1D, 5, DONE, ("MSR",)),
    Extension("pae", L1D, 6, DONE, cr4=1 << 5),
    Extension("mce", L1D, 7, DONE),
    Extension("cx8", L1D, 8, DONE, ("CX8",)),
    Extension("apic", L1D, 9, DONE),
    Extension("sep", L1D, 11, DONE, ("SEP",)),
    Extension("mtrr", L1D, 12, DONE),
    Extension("pge", L1D, 13, DONE, cr4=1 << 7),
    Extension("mca", L1D, 14, DONE),
    Extension("cmov", L1D, 15, DONE, ("CMOV",)),
    Extension("pat", L1D, 16, DONE),
    Extension("pse36", L1D, 17, DONE),
    Extension("clflush", L1D, 19, DONE, ("CLFSH",)),
    Extension("mmx", L1D, 23, DONE, ("MMX",)),
    Extension("fxsr", L1D, 24, DONE, ("FXSR",), cr4=1 << 9),
    Extension("sse", L1D, 25, DONE, ("SSE",), cr4=1 << 10),
    Extension("sse2", L1D, 26, DONE, ("SSE2",)),
    Extension("sse3", L1C, 0, DONE, ("SSE3",)),
    Extension("pclmulqdq", L1C, 1, DONE, ("PCLMULQDQ",)),
    Extension("monitor", L1C, 3, DONE, ("MONITOR",)),
    Extension("ssse3", L1C, 9, DONE, ("SSSE3",)),
    Extension("fma", L1C, 12, DONE, ("FMA",), YMM),
    Extension("cx16", L1C, 13, DONE, ("CMPXCHG16B",)),
    Extension("pcid", L1C, 17, DONE, cr4=1 << 17),
    Extension("sse4_1", L1C, 19, DONE, ("SSE4_1",)),
    Extension("sse4_2", L1C, 20, DONE, ("SSE4_2",)),
    Extension("x2apic", L1C, 21, DONE),
    Extension("movbe", L1C, 22, DONE, ("MOVBE",)),
    Extension("popcnt", L1C, 23, DONE, ("POPCNT",)),
    Extension("tsc_deadline", L1C, 24, DONE),
    Extension("aes", L1C, 25, DONE, ("AES",)),
    Extension("xsave", L1C, 26, DONE, ("XSAVE",), 0b11, cr4=1 << 18),
    Extension("avx", L1C, 28, DONE, ("AVX",), YMM),
    Extension("f16c", L1C, 29, DONE, ("F16C",), YMM),
    Extension("rdrand", L1C, 30, DONE, ("RDRAND",)),
    Extension("hypervisor", L1C, 31, DONE),
    Extension("fsgsbase", L7B, 0, DONE, ("FSGSBASE",), cr4=1 << 16),
    Extension("tsc_adjust", L7B, 1, DONE),
    Extension("bmi1", L7B, 3, DONE, ("BMI1",)),
    Extension("avx2", L7B, 5, DONE, ("AVX2",), YMM),
    Extension("fdp_excptn_only", L7B, 6, DONE),
    Extension("smep", L7B, 7, DONE, cr4=1 << 20),
    Extension("bmi2", L7B, 8, DONE, ("BMI2",)),
    Extension("erms", L7B, 9, DONE),
    Extension("invpcid", L7B, 10, DONE, ("INVPCID",)),
    Extension("zero_fcs_fds", L7B, 13, DONE),
    Extension("avx512f", L7B, 16, DONE, ("AVX512F",), ZMM),
    Extension("avx512dq", L7B, 17, DONE, ("AVX512DQ",), ZMM),
    Extension("rdseed", L7B, 18, DONE, ("RDSEED",)),
    Extension("adx", L7B, 19, DONE, ("ADX",)),
    Extension("smap", L7B, 20, DONE, ("SMAP",), cr4=1 << 21),
    Extension("avx512ifma", L7B, 21, DONE, ("AVX512_IFMA",), ZMM),
    Extension("clflushopt", L7B, 23, DONE, ("CLFLUSHOPT",)),
    Extension("clwb", L7B, 24, DONE, ("CLWB",)),
    Extension("avx512cd", L7B, 28, DONE, ("AVX512CD",), ZMM),
    Extension("sha_ni", L7B, 29, DONE, ("SHA",)),
    Extension("avx512bw", L7B, 30, DONE, ("AVX512BW",), ZMM),
    Extension("avx512vl", L7B, 31, DONE, ("AVX512VL",), ZMM),
    Extension("avx512vbmi", L7C, 1, DONE, ("AVX512_VBMI",), ZMM),
    Extension("umip", L7C, 2, DONE, cr4=1 << 11),
    Extension("pku", L7C, 3, DONE, ("PKU",), PKRU, cr4=1 << 22),
    Extension("waitpkg", L7C, 5, DONE, ("WAITPKG",)),
    Extension("avx512_vbmi2", L7C, 6, DONE, ("AVX512_VBMI2",), ZMM),
    Extension("cet_ss", L7C, 7, DONE, ("CET_SS",), cr4=1 << 23, xss=CET, cet=0b11),
    Extension("gfni", L7C, 8, DONE, ("GFNI",)),
    Extension("vaes", L7C, 9, DONE, ("VAES",), YMM),
    Extension("vpclmulqdq", L7C, 10, DONE, ("VPCLMULQDQ",), YMM),
    Extension("avx512_vnni", L7C, 11, DONE, ("AVX512_VNNI",), ZMM),
    Extension("avx512_bitalg", L7C, 12, DONE, ("AVX512_BITALG",), ZMM),
    Extension("avx512_vpopcntdq", L7C, 14, DONE, ("AVX512_VPOPCNTDQ",), ZMM),
    Extension("la57", L7C, 16, DONE, cr4=1 << 12),
    Extension("rdpid", L7C, 22, DONE, ("RDPID",)),
    Extension("cldemote", L7C, 25, DONE, ("CLDEMOTE",)),
    Extension("movdiri", L7C, 27, DONE, ("MOVDIRI",)),
    Extension("movdir64b", L7C, 28, DONE, ("MOVDIR64B",)),
    Extension("fsrm", L7D, 4, DONE),
    Extension("avx512_vp2intersect", L7D, 8, NOT_YET, ("AVX512_VP2INTERSECT",), ZMM),
    Extension("serialize", L7D, 14, DONE, ("SERIALIZE",)),
    Extension("ibt", L7D, 20, DONE, ("CET_IBT",), cr4=1 << 23, xss=CET, cet=0xC3C),
    Extension("avx512_fp16", L7D, 23, NOT_YET, ("AVX512_FP16",), ZMM),
    Extension("pks", L7C, 31, DONE, cr4=1 << 24),
    Extension("avx_vnni", L71A, 4, DONE, ("AVX_VNNI",), YMM),
    Extension("avx512_bf16", L71A, 5, DONE, ("AVX512_BF16",), ZMM),
    Extension("lam", L71A, 26, DONE, cr4=1 << 28),
    Extension("avx_ifma", L71A, 23, DONE, ("AVX_IFMA",), YMM),
    Extension("xsaveopt", XSTATE, 0, DONE, ("XSAVEOPT",)),
    Extension("xsavec", XSTATE, 1, DONE, ("XSAVEC",)),
    Extension("xgetbv1", XSTATE, 2, DONE),
    Extension("xsaves", XSTATE, 3, DONE, ("XSAVES",)),
    Extension("lahf_lm", E1C, 0, DONE),
    Extension("svm", E1C, 2, NOT_YET, ("SVM",)),
    Extension("cr8legacy", E1C, 4, DONE),
    Extension("abm", E1C, 5, DONE, ("LZCNT",)),
    Extension("sse4a", E1C, 6, DONE, ("SSE4A",)),
    Extension("misalignsse", E1C, 7, NOT_YET),
    Extension("3dnowprefetch", E1C, 8, DONE),
    Extension("topoext", E1C, 22, DONE),
    Extension("mwaitx", E1C, 29, DONE, ("MONITORX",)),
    Extension("syscall", E1D, 11, DONE, ("SYSCALL",), efer=1 << 0),
    Extension("nx", E1D, 20, DONE, efer=1 << 11),
    Extension("pdpe1gb", E1D, 26, DONE),
    Extension("rdtscp", E1D, 27, DONE, ("RDTSCP",)),
    Extension("lm", E1D, 29, DONE, efer=1 << 8),
    Extension("invtsc", E7D, 8, DONE),
    Extension("clzero", E8B, 0, NOT_YET, ("CLZERO",)),
    Extension("invlpgb", E8B, 3, DONE, ("INVLPGB",)),
    Extension("wbnoinvd", E8B, 9, DONE, ("WBNOINVD",)),
    # What a processor without speculation has by itself: its switches are kept, and barriers have nothing to stop.
    Extension("spec_ctrl", L7D, 26, DONE),
    Extension("stibp", L7D, 27, DONE),
    Extension("ssbd", L7D, 31, DONE),
    Extension("ibpb", E8B, 12, DONE),
    Extension("ibrs", E8B, 14, DONE),
    Extension("amd_stibp", E8B, 15, DONE),
    Extension("amd_ssbd", E8B, 24, DONE),
    Extension("amd_psfd", E8B, 28, DONE),
    Extension("lfence_always_serializing", E21A, 2, DONE),
    Extension("null_sel_clr_base", E21A, 6, DONE),
    Extension("uai", E21A, 7, DONE, efer=1 << 20),
    Extension("srso_no", E21A, 29, DONE),
    Extension("tsa_sq_no", E21C, 1, DONE),
    Extension("tsa_l1_no", E21C, 2, DONE),
)
BY_NAME = {extension.name: extension for extension in TABLE}
BY_FEATURE = {feature: extension for extension in TABLE for feature in extension.iced}
OFFERABLE = frozenset(extension.name for extension in TABLE if extension.done)

# An extension is offered only together with those it builds on: SDM Vol. 1 13.3, 14.3, 15.2; Vol. 2A CPUID.
NEEDS: dict[str, tuple[str, ...]] = {
    "sse": ("fxsr",), "sse2": ("sse",), "sse3": ("sse2",), "ssse3": ("sse3",), "sse4_1": ("ssse3",),
    "sse4_2": ("sse4_1",), "sse4a": ("sse3",), "aes": ("sse2",), "pclmulqdq": ("sse2",), "sha_ni": ("sse2",),
    "gfni": ("sse2",), "xsave": ("fxsr",), "xsaveopt": ("xsave",), "xsavec": ("xsave",), "xgetbv1": ("xsave",),
    "xsaves": ("xsavec",), "avx": ("xsave", "sse4_2"), "f16c": ("avx",), "fma": ("avx",), "avx2": ("avx",),
    "vaes": ("avx", "aes"), "vpclmulqdq": ("avx", "pclmulqdq"), "avx_vnni": ("avx2",), "avx_ifma": ("avx2",),
    "avx512f": ("avx2", "fma", "f16c"), "pku": ("xsave",), "x2apic": ("apic",), "tsc_deadline": ("apic",),
    **{name: ("avx512f",) for name in (
        "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_vnni",
        "avx512_bitalg", "avx512_vpopcntdq", "avx512_vp2intersect", "avx512_fp16", "avx512_bf16")},
}


def supported(names: frozenset[str]) -> frozenset[str]:
    """The named extensions whose NEEDS are among them too."""
    while True:
        kept = frozenset(name for name in names if names.issuperset(NEEDS.get(name, ())))
        if kept == names:
            return names
        names = kept
