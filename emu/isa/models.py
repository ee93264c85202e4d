"""CPU models that `--cpu` accepts, as data: what a processor of that name says of itself.

A model lists what the processor has; what the guest is offered of it is what Strata implements (emu/isa/cpu.py). The
x86-64 levels are those of the System V ABI, x86-64 supplement, 3.1.1; the others follow their makers' manuals and
what QEMU's models of the same name have.
"""

from __future__ import annotations

from typing import NamedTuple

INTEL, AMD = "GenuineIntel", "AuthenticAMD"

# Lists of names of emu/isa/extensions.py; a name that is not there is one that Strata never offers.
SYSTEM = ("fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall "
          "nx lm hypervisor x2apic tsc_deadline")
V1 = SYSTEM
V2 = V1 + " cx16 lahf_lm popcnt sse3 ssse3 sse4_1 sse4_2"
V3 = V2 + " xsave avx avx2 bmi1 bmi2 f16c fma abm movbe"
V4 = V3 + " avx512f avx512bw avx512cd avx512dq avx512vl"
MODERN = V3 + (" pclmulqdq aes rdrand rdseed adx fsgsbase smep smap erms invpcid pcid rdtscp pdpe1gb xsaveopt xsavec "
               "xgetbv1 xsaves clflushopt clwb 3dnowprefetch pku invtsc")
MILAN = MODERN + (" cr8legacy sse4a misalignsse topoext clzero invlpgb wbnoinvd rdpid umip sha_ni vaes vpclmulqdq fsrm "
                  "svm mwaitx perfctr_core ibpb ibrs amd_stibp amd_ssbd cet_ss lfence_always_serializing "
                  "null_sel_clr_base")
GENOA = MILAN + (" avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512_bf16 avx512vbmi avx512_vbmi2 gfni "
                 "avx512_vnni avx512_bitalg avx512_vpopcntdq la57 uai amd_psfd")
SKYLAKE = MODERN + (" avx512f avx512dq avx512cd avx512bw avx512vl fdp_excptn_only zero_fcs_fds monitor mpx hle rtm "
                    "tsc_adjust spec_ctrl stibp ssbd")
SAPPHIRE = SKYLAKE.replace(" mpx", "").replace(" hle", "") + (
    " sha_ni avx512ifma avx512vbmi umip avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq "
    "la57 rdpid bus_lock_detect pks cldemote movdiri movdir64b waitpkg wbnoinvd fsrm serialize tsxldtrk amx_tile "
    "amx_bf16 amx_int8 avx512_fp16 avx_vnni avx512_bf16 fzrm cet_ss ibt enqcmd uintr ptwrite")


class Cache(NamedTuple):
    """`kind`: 1 data, 2 instructions, 3 both; `size` in KiB; lines have 64 bytes. `shared`: by all vCPUs."""

    level: int
    kind: int
    size: int
    ways: int
    shared: bool = False


PLAIN_CACHES = (Cache(1, 1, 32, 8), Cache(1, 2, 32, 8), Cache(2, 3, 512, 8), Cache(3, 3, 16384, 16, True))
ZEN4_CACHES = (Cache(1, 1, 32, 8), Cache(1, 2, 32, 8), Cache(2, 3, 1024, 8), Cache(3, 3, 32768, 16, True))
SKYLAKE_CACHES = (Cache(1, 1, 32, 8), Cache(1, 2, 32, 8), Cache(2, 3, 1024, 16), Cache(3, 3, 22528, 11, True))
SAPPHIRE_CACHES = (Cache(1, 1, 48, 12), Cache(1, 2, 32, 8), Cache(2, 3, 2048, 16), Cache(3, 3, 107520, 15, True))


class Model(NamedTuple):
    """`extensions`: a list of names; None: everything that is implemented. `physical`: bits of a physical address."""

    name: str
    vendor: str
    family: int
    model: int
    stepping: int
    brand: str
    extensions: str | None
    physical: int = 46
    caches: tuple[Cache, ...] = PLAIN_CACHES

    @property
    def signature(self) -> int:
        """Family, model and stepping as EAX of CPUID leaf 1, and EDX after a reset, have them."""
        extended = min(self.family, 15)
        return (self.stepping | (self.model & 15) << 4 | extended << 8 | self.model >> 4 << 16
                | self.family - extended << 20)


TABLE = (
    Model("max", AMD, 25, 1, 1, "Strata virtual CPU", None),
    Model("qemu64", AMD, 15, 107, 1, "Strata qemu64", SYSTEM + " sse3 cx16 lahf_lm svm", 40),
    Model("x86-64-v1", AMD, 15, 107, 1, "Strata x86-64-v1", V1, 40),
    Model("x86-64-v2", AMD, 15, 107, 1, "Strata x86-64-v2", V2, 40),
    Model("x86-64-v3", AMD, 25, 1, 1, "Strata x86-64-v3", V3 + " xgetbv1 xsaveopt xsavec"),
    Model("x86-64-v4", AMD, 25, 17, 1, "Strata x86-64-v4", V4 + " xgetbv1 xsaveopt xsavec"),
    Model("EPYC-Milan", AMD, 25, 1, 1, "AMD EPYC-Milan Processor", MILAN, 48, PLAIN_CACHES),
    Model("EPYC-Genoa", AMD, 25, 17, 0, "AMD EPYC-Genoa Processor", GENOA, 52, ZEN4_CACHES),
    Model("Skylake-Server", INTEL, 6, 85, 4, "Intel Xeon Processor (Skylake)", SKYLAKE, 46, SKYLAKE_CACHES),
    Model("SapphireRapids", INTEL, 6, 143, 4, "Intel Xeon Processor (SapphireRapids)", SAPPHIRE, 46, SAPPHIRE_CACHES),
)
MODELS = {model.name: model for model in TABLE}
