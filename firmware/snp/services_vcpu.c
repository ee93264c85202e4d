/* vCPUs through the SVSM: VMSAs that it refuses, and where there is a second processor, one that runs. */
#include "services.h"

static u8 stack[STACK_BYTES] ALIGNED(16384);
static u8 pages[4][PAGE] ALIGNED(4096); /* a VMSA that is not at a multiple of 2 MiB, calling area, GHCB, the second's list */
static volatile u32 progress;

static struct processor other;

#define IPI 0x65

static void interrupted(struct trap_frame *f)
{
    (void)f;
    progress = 3;
}

static void second_main(void)
{
    snp_open_processor();
    progress = 1;
    other.index = cpuid(0x8000001F, 0).ebx & 0x3F; /* #VC works here too */
    progress = 2;
    if (svsm_interrupts())
        while (progress < 3)
            asm volatile("sti; hlt; cli" : : : "memory");
    while (command_line_has("spin"))
        progress++;
    for (;;)
        asm volatile("cli; hlt");
}

static struct vmsa *prepare(void)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr, idtr;
    const struct segment data = {SEL_KDATA, ATTR_DATA, 0xFFFFFFFF, 0};
    struct vmsa *v = (struct vmsa *)pages[(reg_t)pages[0] & (LARGE_PAGE - 1) ? 0 : 3];
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    memset(v, 0, sizeof *v);
    v->ds = v->es = v->ss = v->fs = v->gs = data;
    v->cs = (struct segment){SEL_KCODE, ATTR_CODE64, 0xFFFFFFFF, 0};
    v->gdtr = (struct segment){0, 0, gdtr.limit, gdtr.base};
    v->idtr = (struct segment){0, 0, idtr.limit, idtr.base};
    v->tr = (struct segment){SEL_TSS, 0x8B, sizeof tss - 1, (reg_t)&tss};
    v->ldtr.attributes = 0x82;
    v->vmpl = (u8)my_vmpl();
    v->efer = EFER_SVME | EFER_LME | EFER_LMA;
    v->cr0 = read_cr0();
    v->cr3 = read_cr3();
    v->cr4 = read_cr4();
    v->rflags = FLAG_FIXED;
    v->dr6 = 0xFFFF0FF0;
    v->dr7 = 0x400;
    v->pat = 0x0007040600070406ull;
    v->xcr0 = 1;
    v->mxcsr = 0x1F80;
    v->fcw = 0x37F;
    v->sev_features = rdmsr(MSR_SEV_STATUS) >> SEV_STATUS_FEATURES_SHIFT;
    v->rip = (reg_t)second_main;
    v->rsp = (reg_t)stack + STACK_BYTES - 8;
    return v;
}

static u64 create(struct vmsa *v, u64 area, u32 apic_id) { return core(CORE_CREATE_VCPU, (reg_t)v, area, apic_id); }

static void result(const char *what, u64 rc, u64 expected)
{
    printf("%s: 0x%llx\n", what, rc);
    CHECK(rc == expected, "%s: 0x%llx", what, rc);
}

/* VMSAs for APIC ID id that no SVSM may take; afterwards the page is the guest's again. */
static void refused(u32 id)
{
    struct vmsa *v = prepare();
    u64 area = (reg_t)pages[1];
    result("a VMSA that is its calling area", create(v, (reg_t)v, id), SVSM_INVALID_ADDRESS);
    CHECK(create(v, area + 8, id) == SVSM_INVALID_ADDRESS, "a calling area that is not aligned");
    CHECK(create((struct vmsa *)0x1001000, area, id) == SVSM_INVALID_ADDRESS, "a VMSA in the SVSM's memory");
    CHECK(create(v, (reg_t)&snp_calling_area, id) == SVSM_INVALID_ADDRESS, "a calling area in use");
    result("an APIC ID that is not there", create(v, area, 99), SVSM_INVALID_PARAMETER);
    v->vmpl = 0;
    result("a VMSA for VMPL0", create(v, area, id), SVSM_INVALID_PARAMETER);
    v = prepare();
    v->efer &= ~EFER_SVME;
    result("a VMSA without SVME", create(v, area, id), SVSM_INVALID_PARAMETER);
    v = prepare();
    v->sev_features ^= 1u << 5;
    result("a VMSA with other SEV_FEATURES", create(v, area, id), SVSM_INVALID_PARAMETER);
    v->rax = 5; /* else this would be an access that never ends */
    CHECK(v->rax == 5, "the guest has its page back");
}

void processors(void)
{
    static u8 list[PAGE] ALIGNED(4096);
    CHECK(make_shared(list), "a page for APIC IDs");
    ghcb_begin();
    ghcb_set(G_RAX, 1);
    CHECK(ghcb_end(NAE_APIC_IDS, (reg_t)list, 0) == 0, "APIC IDs");
    const volatile u32 *ids = shared(list);
    if (ids[0] < 2) {
        printf("one processor: no vCPU is created (strata run --vcpus 2)\n");
        return;
    }
    u32 id = ids[2];
    refused(id);
    CHECK(core(CORE_DELETE_VCPU, (reg_t)pages[1], 0, 0) == SVSM_INVALID_ADDRESS, "deleting a VMSA that is none");
    other = (struct processor){1, id, pages[2]};
    CHECK(make_shared(pages[2]), "a GHCB for the second processor");
    *(struct processor **)stack = &other;
    set_handler(IPI, interrupted);
    struct vmsa *v = prepare();
    result("a vCPU is created", create(v, (reg_t)pages[1], id), SVSM_SUCCESS);
    ghcb_begin();
    ghcb_set(G_RAX, rdmsr(MSR_SEV_STATUS) >> SEV_STATUS_FEATURES_SHIFT);
    CHECK(ghcb_end(NAE_AP_CREATION, (u64)id << 32 | my_vmpl() << 16 | AP_CREATE, (reg_t)v) == 0, "and started");
    while (progress < 2)
        asm volatile("pause");
    CHECK(1ull << other.index == c_bit_mask, "it runs at VMPL2");
    if (svsm_interrupts()) {
        struct svsm_call c = {.rcx = X2_ICR, .rdx = (u64)id << 32 | IPI};
        CHECK(svsm_call(SVSM_APIC, APIC_WRITE, &c) == SVSM_SUCCESS, "an interrupt is sent to it");
        while (progress < 3)
            asm volatile("pause");
    }
    result("and deleted", core(CORE_DELETE_VCPU, (reg_t)v, 0, 0), SVSM_SUCCESS);
    v->rax = 1;
    CHECK(v->rax == 1, "its VMSA is an ordinary page again");
}
