/* Control, debug and model-specific registers, CPUID, TSC, flags. */
#pragma once
#include "types.h"

#define CR0_PE (1u << 0)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_PG (1u << 31)
#define CR4_TSD (1u << 2)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_PGE (1u << 7)
#define CR4_UMIP (1u << 11)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)

#define FLAG_CF (1u << 0)
#define FLAG_FIXED (1u << 1)
#define FLAG_PF (1u << 2)
#define FLAG_AF (1u << 4)
#define FLAG_ZF (1u << 6)
#define FLAG_SF (1u << 7)
#define FLAG_TF (1u << 8)
#define FLAG_IF (1u << 9)
#define FLAG_DF (1u << 10)
#define FLAG_OF (1u << 11)
#define FLAG_NT (1u << 14)
#define FLAG_RF (1u << 16)
#define FLAG_AC (1u << 18)
#define FLAG_ID (1u << 21)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define MSR_APIC_BASE 0x1Bu
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_PAT 0x277u
#define MSR_EFER 0xC0000080u
#define MSR_STAR 0xC0000081u
#define MSR_LSTAR 0xC0000082u
#define MSR_CSTAR 0xC0000083u
#define MSR_SFMASK 0xC0000084u
#define MSR_FS_BASE 0xC0000100u
#define MSR_GS_BASE 0xC0000101u
#define MSR_KERNEL_GS_BASE 0xC0000102u
#define MSR_TSC_AUX 0xC0000103u

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

/* Defines read_NAME() and write_NAME() for a register that MOV reaches (SDM vol. 2, MOV control/debug). */
#define DEFINE_MOV_REG(name)                                                                     \
    static inline reg_t read_##name(void)                                                        \
    {                                                                                            \
        reg_t v;                                                                                 \
        asm volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");                              \
        return v;                                                                                \
    }                                                                                            \
    static inline void write_##name(reg_t v) { asm volatile("mov %0, %%" #name : : "r"(v) : "memory"); }

DEFINE_MOV_REG(cr0)
DEFINE_MOV_REG(cr2)
DEFINE_MOV_REG(cr3)
DEFINE_MOV_REG(cr4)
DEFINE_MOV_REG(dr0)
DEFINE_MOV_REG(dr1)
DEFINE_MOV_REG(dr2)
DEFINE_MOV_REG(dr3)
DEFINE_MOV_REG(dr6)
DEFINE_MOV_REG(dr7)
#ifdef __x86_64__
DEFINE_MOV_REG(cr8)
#endif

#define DEFINE_SEG_REG(name)                                                                     \
    static inline u16 read_##name(void)                                                          \
    {                                                                                            \
        u16 v;                                                                                   \
        asm volatile("mov %%" #name ", %0" : "=r"(v));                                           \
        return v;                                                                                \
    }

DEFINE_SEG_REG(cs)
DEFINE_SEG_REG(ds)
DEFINE_SEG_REG(es)
DEFINE_SEG_REG(fs)
DEFINE_SEG_REG(gs)
DEFINE_SEG_REG(ss)

static inline u64 rdmsr(u32 index)
{
    u32 lo, hi;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
    return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 index, u64 v)
{
    asm volatile("wrmsr" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (u64)hi << 32 | lo;
}

struct cpuid {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf) : "memory");
    return r;
}

/* The named register of a leaf; 0 when the processor does not have the leaf (SDM vol. 2, CPUID). */
#define CPUID_REG(leaf, subleaf, reg) (cpuid((leaf) & 0x80000000u, 0).eax >= (leaf) ? cpuid(leaf, subleaf).reg : 0)

static inline reg_t read_flags(void)
{
    reg_t v;
    asm volatile("pushf; pop %0" : "=r"(v) : : "memory");
    return v;
}

static inline void write_flags(reg_t v) { asm volatile("push %0; popf" : : "r"(v) : "memory", "cc"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }

/* Waits for an interrupt without a window between enabling and halting: STI's shadow covers HLT. */
static inline void sti_hlt(void) { asm volatile("sti; hlt" : : : "memory"); }
static inline void invlpg(const volatile void *va) { asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }

/* CPUID serialises (SDM vol. 3 §9.3): later instructions are fetched anew. */
static inline void serialize(void) { cpuid(0, 0); }

#define barrier() asm volatile("" : : : "memory")
#ifdef __x86_64__
#define mfence() asm volatile("mfence" : : : "memory")
#else
#define mfence() asm volatile("lock; addl $0, (%%esp)" : : : "memory")
#endif

/* True under QEMU's TCG engine, whose few known deviations from the SDM are then reported, not failed. */
static inline bool on_qemu_tcg(void)
{
    if (!(CPUID_REG(1, 0, ecx) & 1u << 31))
        return false;
    struct cpuid r = cpuid(0x40000000, 0);
    return r.ebx == 0x54474354 && r.ecx == 0x43544743 && r.edx == 0x47435447; /* "TCGTCGTCGTCG" */
}
