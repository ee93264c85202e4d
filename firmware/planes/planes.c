/* The runtime of the guests with KVM planes. */
#include "planes.h"

#define PLANES_LEAF 0x40000100u
#define HC_CALL 0x11u
#define HC_RETURN 0x12u
#define HC_AP_CREATION 0x80000013u
#define HC_IPI 0x80000015u
#define HC_RUN 0x80000018u
#define HC_NOTICES 0x80005001u
#define CREATE 1u

/* The page from which a plane starts: what is used of a VMSA (APM vol. 2 table B-4). */
struct vmsa_segment {
    u16 selector, attributes; /* attributes 11:8 are a descriptor's bits 55:52 */
    u32 limit;
    u64 base;
};
struct vmsa {
    struct vmsa_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 unused_a0[0x30];
    u64 efer;
    u8 unused_d8[0x70];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u8 unused_180[0x58];
    u64 rsp;
    u8 unused_1e0[0x88];
    u64 pat;
    u8 unused_270[0x1000 - 0x270];
};
_Static_assert(offsetof(struct vmsa, efer) == 0xD0 && offsetof(struct vmsa, cr4) == 0x148 &&
                   offsetof(struct vmsa, rip) == 0x178 && offsetof(struct vmsa, rsp) == 0x1D8 &&
                   offsetof(struct vmsa, pat) == 0x268 && sizeof(struct vmsa) == 4096,
               "VMSA");

struct plane_rules rules;
struct plane planes[PLANES];
static u8 stacks[PLANES][PLANE_STACK] ALIGNED(16);
static struct vmsa contexts[PLANES] ALIGNED(4096);
extern u64 boot_pml4[];
void plane_start(void);

void planes_open(const char *guest, unsigned wanted)
{
    struct cpuid name = cpuid(PLANES_LEAF, 0), leaf = cpuid(PLANES_LEAF + 1, 0);
    if (!(CPUID_REG(1, 0, ecx) & 1u << 31) || name.ebx != 0x61727453 || name.ecx != 0x6C506174 ||
        name.edx != 0x73656E61) {
        printf("%s: skipped: no planes here (strata run --planes kvm)\n", guest);
        exit(EXIT_SKIP);
    }
    rules = (struct plane_rules){leaf.eax, leaf.ebx & 0xFF, leaf.ecx, leaf.edx};
    if (rules.planes < wanted || rules.marker > wanted || rules.shares & SHARE_GPR) {
        printf("%s: skipped: needs %u planes, none above them marked, and registers of their own\n", guest, wanted);
        exit(EXIT_SKIP);
    }
    trap_init();
    wrmsr(MSR_GS_BASE, (reg_t)&planes[0]);
    for (unsigned i = 0; i < PLANES; i++)
        planes[i].number = i;
}

s64 plane_create(unsigned number, void (*entry)(void))
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr, idtr;
    struct vmsa *v = &contexts[number];
    const struct vmsa_segment data = {SEL_KDATA, 0xC93, 0xFFFFFFFF, 0};
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    planes[number].entry = entry;
    v->ds = v->es = v->ss = v->fs = v->gs = data;
    v->gs.base = (reg_t)&planes[number];
    v->cs = (struct vmsa_segment){SEL_KCODE, 0xA9B, 0xFFFFFFFF, 0};
    v->tr = (struct vmsa_segment){SEL_TSS, 0x08B, sizeof tss - 1, (reg_t)&tss};
    v->ldtr = (struct vmsa_segment){0, 0x082, 0, 0};
    v->gdtr = (struct vmsa_segment){.limit = gdtr.limit, .base = gdtr.base};
    v->idtr = (struct vmsa_segment){.limit = idtr.limit, .base = idtr.base};
    v->efer = EFER_LME | EFER_LMA;
    v->cr0 = read_cr0();
    v->cr3 = (reg_t)boot_pml4;
    v->cr4 = read_cr4();
    v->rflags = FLAG_FIXED;
    v->rip = (reg_t)plane_start;
    v->rsp = (reg_t)stacks[number] + PLANE_STACK;
    v->pat = rdmsr(MSR_PAT);
    return plane_hypercall(HC_AP_CREATION, number << 16 | CREATE, (reg_t)v);
}

s64 plane_call(void) { return plane_hypercall(HC_CALL, 0, 0); }
s64 plane_return(void) { return plane_hypercall(HC_RETURN, 0, 0); }
s64 plane_run(unsigned number) { return plane_hypercall(HC_RUN, number, 0); }
s64 plane_notices(void) { return plane_hypercall(HC_NOTICES, 0, 0); }
s64 plane_ipi(unsigned number, u8 vector) { return plane_hypercall(HC_IPI, vector, number); }
