/*
 * The registers that each VTL has for itself (TLFS, VSM: "VTL-private state"): given a value of its own in each
 * VTL, each must keep it while the other VTL runs. RIP, RSP and RFLAGS are watched in vsm_entry.S.
 */
#include "vsm.h"

u64 private_kept[2][PRIVATE_MAX];

enum {
    P_CR0, P_CR3, P_CR4, P_CR8, P_TPR, P_DR7, P_IDTR_BASE, P_IDTR_LIMIT, P_GDTR_BASE, P_GDTR_LIMIT,
    P_CS, P_DS, P_ES, P_FS, P_GS, P_SS, P_TR, P_LDTR, P_MEMORY, P_FIRST_MSR,
};

static const char *const names[P_FIRST_MSR] = {
    "CR0", "CR3", "CR4", "CR8", "the APIC's TPR", "DR7", "IDTR base", "IDTR limit", "GDTR base", "GDTR limit",
    "CS", "DS", "ES", "FS", "GS", "SS", "TR", "LDTR", "memory behind its own page tables",
};

/* set 0: opened elsewhere, only compared. */
static const struct {
    const char *name;
    u32 index;
    bool set;
    u64 value[2];
} msrs[] = {
    {"EFER", MSR_EFER, true, {EFER_LME | EFER_LMA, EFER_LME | EFER_LMA | EFER_SCE}},
    {"STAR", MSR_STAR, true, {0x0018000800000000, 0x0020001000000000}},
    {"LSTAR", MSR_LSTAR, true, {0x00007FFF11111000, 0xFFFF800022222000}},
    {"CSTAR", MSR_CSTAR, true, {0x00007FFF33333000, 0xFFFF800044444000}},
    {"SFMASK", MSR_SFMASK, true, {0x200, 0x700}},
    {"SYSENTER_CS", MSR_SYSENTER_CS, true, {0x08, 0x68}},
    {"SYSENTER_ESP", MSR_SYSENTER_ESP, true, {0x55555000, 0x66666000}},
    {"SYSENTER_EIP", MSR_SYSENTER_EIP, true, {0x77777000, 0x08888000}},
    {"FS_BASE", MSR_FS_BASE, true, {0x00007F0000000000, 0xFFFF900000000000}},
    {"GS_BASE", MSR_GS_BASE, true, {0x00007E0000000000, 0xFFFFA00000000000}},
    {"KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, true, {0x00007D0000000000, 0xFFFFB00000000000}},
    {"PAT", MSR_PAT, true, {0x0007040600070406, 0x0007010600070406}},
    {"hypercall MSR", HV_MSR_HYPERCALL, false, {0, 0}},
    {"VP assist page MSR", HV_MSR_VP_ASSIST_PAGE, false, {0, 0}},
    {"guest OS id MSR", HV_MSR_GUEST_OS_ID, false, {0, 0}},
    {"TSC_AUX", MSR_TSC_AUX, true, {0x1234, 0x9876}}, /* last: only with RDTSCP */
};

_Static_assert(P_FIRST_MSR + ARRAY_LEN(msrs) <= PRIVATE_MAX, "room for every register");

static unsigned msr_count(void)
{
    return ARRAY_LEN(msrs) - !(CPUID_REG(0x80000001, 0, edx) & 1u << 27);
}

unsigned private_count(void) { return P_FIRST_MSR + msr_count(); }
const char *private_name(unsigned i) { return i < P_FIRST_MSR ? names[i] : msrs[i - P_FIRST_MSR].name; }

void private_set(unsigned vtl)
{
    static const u16 fs[2] = {SEL_UDATA, 0x70}, gs[2] = {SEL_KDATA, SEL_UDATA};
    static const u8 tpr[2] = {3, 5};
    static const u32 dr7[2] = {0x500, 0x600}; /* LE and GE: no breakpoint is enabled */
    asm volatile("mov %w0, %%fs; mov %w1, %%gs" : : "r"(fs[vtl]), "r"(gs[vtl]));
    write_dr7(dr7[vtl]);
    write_cr8(tpr[vtl]);
    *(volatile u64 *)PRIVATE_VIEW = 0xC0FFEE00 + vtl;
    for (unsigned i = 0; i < msr_count(); i++)
        if (msrs[i].set)
            wrmsr(msrs[i].index, msrs[i].value[vtl]);
}

struct table_register {
    u16 limit;
    u64 base;
} __attribute__((packed));

void private_read(u64 *v)
{
    struct table_register idtr, gdtr;
    u16 tr, ldtr;
    asm volatile("sidt %0; sgdt %1; str %w2; sldt %w3" : "=m"(idtr), "=m"(gdtr), "=r"(tr), "=r"(ldtr));
    v[P_CR0] = read_cr0();
    v[P_CR3] = read_cr3();
    v[P_CR4] = read_cr4();
    v[P_CR8] = read_cr8();
    v[P_TPR] = apic_read(APIC_TPR);
    v[P_DR7] = read_dr7();
    v[P_IDTR_BASE] = idtr.base;
    v[P_IDTR_LIMIT] = idtr.limit;
    v[P_GDTR_BASE] = gdtr.base;
    v[P_GDTR_LIMIT] = gdtr.limit;
    v[P_CS] = read_cs();
    v[P_DS] = read_ds();
    v[P_ES] = read_es();
    v[P_FS] = read_fs();
    v[P_GS] = read_gs();
    v[P_SS] = read_ss();
    v[P_TR] = tr;
    v[P_LDTR] = ldtr;
    v[P_MEMORY] = *(volatile u64 *)PRIVATE_VIEW;
    for (unsigned i = 0; i < msr_count(); i++)
        v[P_FIRST_MSR + i] = rdmsr(msrs[i].index);
}

void private_compare(unsigned vtl, const char *when)
{
    u64 now[PRIVATE_MAX];
    private_read(now);
    for (unsigned i = 0; i < private_count(); i++)
        CHECK(now[i] == private_kept[vtl][i], "VTL%u's %s is 0x%llx %s, was 0x%llx", vtl, private_name(i), now[i], when,
              private_kept[vtl][i]);
}
