/* Processors: their VMSAs at both levels, and the loop that lets the guest run and serves its calls. */
#include "svsm.h"

#define AP_INFO(v, vmpl, op) ((u64)(v)->processor.apic_id << 32 | (u64)(vmpl) << 16 | (op))

struct vcpu vcpus[VCPUS];
u32 vcpu_count = 1;
static u8 stacks[VCPUS][STACK_BYTES] ALIGNED(16384);
static volatile u8 lock;

static void take(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        asm volatile("pause");
}

static void release(void) { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }

u64 sev_features(void) { return rdmsr(MSR_SEV_STATUS) >> SEV_STATUS_FEATURES_SHIFT; }

/* APIC IDs, from the hypervisor: a wrong list keeps processors from being used, no more. */
void vcpus_find(void)
{
    static u8 list[PAGE] ALIGNED(4096);
    vcpus[0].processor = *this_processor();
    *(struct processor **)boot_stack = &vcpus[0].processor;
    if (!make_shared(list))
        terminate(TERM_SET_LINUX, TERM_PSC);
    ghcb_begin();
    ghcb_set(G_RAX, 1);
    if (ghcb_end(NAE_APIC_IDS, (reg_t)list, 0))
        return;
    const volatile u32 *ids = shared(list);
    u32 count = ids[0];
    vcpu_count = count < 1 ? 1 : count > VCPUS ? VCPUS : count;
    for (u32 i = 0; i < vcpu_count; i++) {
        vcpus[i].processor.index = i;
        vcpus[i].processor.apic_id = ids[1 + i];
    }
}

struct vcpu *vcpu_of(u32 apic_id)
{
    for (u32 i = 0; i < vcpu_count; i++)
        if (vcpus[i].processor.apic_id == apic_id)
            return &vcpus[i];
    return 0;
}

struct vcpu *vcpu_with_vmsa(u64 gpa)
{
    for (u32 i = 0; i < vcpu_count; i++)
        if (vcpus[i].guest && (reg_t)vcpus[i].guest == gpa)
            return &vcpus[i];
    return 0;
}

bool page_in_use(u64 gpa)
{
    for (u32 i = 0; i < vcpu_count; i++)
        if ((reg_t)vcpus[i].guest == gpa || (reg_t)vcpus[i].area == gpa)
            return true;
    return false;
}

static void common_state(struct vmsa *v, unsigned vmpl)
{
    const struct segment data = {SEL_KDATA, ATTR_DATA, 0xFFFFFFFF, 0};
    memset(v, 0, sizeof *v);
    v->ds = v->es = v->ss = v->fs = v->gs = data;
    v->ldtr.attributes = 0x82;
    v->tr.attributes = 0x8B;
    v->gdtr.limit = v->idtr.limit = v->ldtr.limit = v->tr.limit = 0xFFFF;
    v->vmpl = (u8)vmpl;
    v->efer = EFER_SVME;
    v->rflags = FLAG_FIXED;
    v->dr6 = 0xFFFF0FF0;
    v->dr7 = 0x400;
    v->pat = 0x0007040600070406ull;
    v->xcr0 = 1;
    v->mxcsr = 0x1F80;
    v->fcw = 0x37F;
    v->sev_features = sev_features();
}

/* 32-bit protected mode without paging, as a multiboot loader starts it. */
void vcpu_guest_vmsa(struct vmsa *v, u32 entry)
{
    common_state(v, GUEST_VMPL);
    if (apic_offered())
        v->sev_features = (v->sev_features & ~FEATURE_RESTRICTED) | FEATURE_ALTERNATE;
    v->cs = (struct segment){SEL_KCODE, ATTR_CODE32, 0xFFFFFFFF, 0};
    v->cr0 = CR0_PE | 1u << 4;
    v->rip = entry;
}

static void processor_main(void)
{
    snp_open_processor();
    apic_open(&vcpus[this_processor()->index]);
    vcpu_run(&vcpus[this_processor()->index]);
}

void vcpu_start(struct vcpu *v)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr, idtr;
    if (v->own)
        return;
    u8 *stack = stacks[v->processor.index], *ghcb = svsm_page();
    if (!make_shared(ghcb))
        terminate(TERM_SET_LINUX, TERM_PSC);
    v->processor.ghcb = ghcb;
    *(struct processor **)stack = &v->processor;
    v->own = svsm_page();
    common_state(v->own, 0);
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    v->own->gdtr = (struct segment){0, 0, gdtr.limit, gdtr.base};
    v->own->idtr = (struct segment){0, 0, idtr.limit, idtr.base};
    v->own->tr = (struct segment){SEL_TSS, 0x8B, sizeof tss - 1, (reg_t)&tss};
    v->own->cs = (struct segment){SEL_KCODE, ATTR_CODE64, 0xFFFFFFFF, 0};
    v->own->efer = EFER_SVME | EFER_LME | EFER_LMA;
    v->own->cr0 = read_cr0();
    v->own->cr3 = read_cr3();
    v->own->cr4 = read_cr4();
    v->own->rip = (reg_t)processor_main;
    v->own->rsp = (reg_t)stack + STACK_BYTES - 8;
    if (set_vmsa((reg_t)v->own, true) != SNP_OK)
        terminate(0, 0);
    ghcb_begin();
    ghcb_set(G_RAX, v->own->sev_features);
    if (ghcb_end(NAE_AP_CREATION, AP_INFO(v, 0, AP_CREATE), (reg_t)v->own))
        printf("svsm: vCPU %u does not start\n", v->processor.index);
}

void vcpu_stop_guest(struct vmsa *v)
{
    /* While it runs elsewhere the store does not complete: its page is in use (APM vol. 2 §15.36.12). */
    __atomic_and_fetch(&v->efer, ~EFER_SVME, __ATOMIC_SEQ_CST);
}

static void serve(struct vcpu *v)
{
    struct vmsa *r = v->guest;
    u32 protocol = (u32)(r->rax >> 32), call = (u32)r->rax;
    switch (protocol) {
    case SVSM_CORE:
        r->rax = core_call(v, call, r);
        break;
    case SVSM_ATTEST:
        r->rax = attest_call(call, r);
        break;
    case SVSM_VTPM:
        r->rax = vtpm_call(call, r);
        break;
    case SVSM_APIC:
        r->rax = apic_offered() ? apic_call(v, call, r) : SVSM_UNSUPPORTED_PROTOCOL;
        break;
    default:
        r->rax = SVSM_UNSUPPORTED_PROTOCOL;
    }
}

/* The guest's calls come from its VMSA and nowhere else, so the hypervisor cannot make one up or repeat one. */
static void look_for_call(struct vcpu *v)
{
    struct calling_area *area = v->area;
    if (v->guest->exitcode != VC_VMGEXIT || !guest_touch((reg_t)area) || !area->call_pending)
        return;
    area->call_pending = 0;
    serve(v);
}

static bool run_guest(struct vcpu *v)
{
    if (apic_offered())
        return apic_run_guest(v);
    return msr_protocol((u64)GUEST_VMPL << 32 | GHCB_RUN_VMPL_REQ) == GHCB_RUN_VMPL_RESP;
}

void vcpu_run(struct vcpu *v)
{
    /* The first guest's VMSA is the SVSM's own making, so the hypervisor has not heard of it. */
    if (v == &vcpus[0]) {
        ghcb_begin();
        ghcb_set(G_RAX, v->guest->sev_features);
        if (ghcb_end(NAE_AP_CREATION, AP_INFO(v, GUEST_VMPL, AP_CREATE_ON_INIT), (reg_t)v->guest))
            terminate(0, 0);
    }
    for (;;) {
        if (!v->guest) {
            asm volatile("pause");
            continue;
        }
        flush_everything();
        /* An error means that the guest has not asked the hypervisor to run this VMSA yet. */
        if (!run_guest(v)) {
            asm volatile("pause");
            continue;
        }
        take();
        if (v->guest) {
            vcpu_stop_guest(v->guest);
            look_for_call(v);
            if (v->guest) {
                apic_present(v);
                v->guest->efer |= EFER_SVME;
            }
        }
        release();
    }
}
