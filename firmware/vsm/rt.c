/* The runtime of the VSM guests. */
#include "rt.h"

#define PAGES 5 /* of each VTL of each processor: hypercall, input, output, assist, messages */

static u8 pages[VPS][VTLS][PAGES][4096] ALIGNED(4096);
static u8 stacks[VPS][VTLS][STACK_BYTES] ALIGNED(16);
static struct vtl_vp state[VPS][VTLS];
extern u64 boot_pml4[];

struct vtl_vp *vtl_vp(u32 vp, unsigned vtl) { return &state[vp][vtl]; }

static void prepare(u32 vp, unsigned vtl, entry_handler handler)
{
    struct vtl_vp *v = &state[vp][vtl];
    u8(*p)[4096] = pages[vp][vtl];
    /* The hypercall page is the VTL's on all processors. */
    *v = (struct vtl_vp){.assist = (void *)p[3], .entered = handler, .vp = vp, .vtl = vtl,
                         .hypercall_page = pages[0][vtl][0], .input = p[1], .output = p[2], .messages = p[4]};
}

void vsm_open(const char *guest, unsigned max_vtl)
{
    struct cpuid vendor = cpuid(0x40000000, 0), f = cpuid(0x40000003, 0);
    if (!(CPUID_REG(1, 0, ecx) & 1u << 31) || vendor.ebx != 0x7263694D || vendor.eax < 0x40000005 ||
        !(f.eax & HV_EAX_SYNIC) || !(f.ebx & HV_EBX_ACCESS_VSM) || !(f.ebx & HV_EBX_ACCESS_VP_REGISTERS)) {
        printf("%s: skipped: no Hyper-V with VSM here (strata run --planes vsm)\n", guest);
        exit(EXIT_SKIP);
    }
    trap_init();
    apic_enable();
    prepare(0, 0, 0);
    wrmsr(MSR_GS_BASE, (reg_t)vtl_vp(0, 0));
    open_interface();
    if ((hv_get(HV_REG_VSM_PARTITION_STATUS, 0) >> 16 & 0xF) < max_vtl) {
        printf("%s: skipped: needs VTL%u (strata run --planes vsm --policy ms-vtl2)\n", guest, max_vtl);
        exit(EXIT_SKIP);
    }
}

void vsm_context(struct hv_initial_context *c, u32 vp, unsigned vtl, void (*rip)(void))
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr, idtr;
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    const struct hv_segment data = {0, 0xFFFFFFFF, SEL_KDATA, 0xC093};
    memset(c, 0, sizeof *c);
    c->rip = (reg_t)rip;
    c->rsp = (reg_t)stacks[vp][vtl] + STACK_BYTES;
    c->rflags = FLAG_FIXED;
    c->cs = (struct hv_segment){0, 0xFFFFFFFF, SEL_KCODE, 0xA09B};
    c->ds = c->es = c->fs = c->gs = c->ss = data;
    c->gs.base = (reg_t)vtl_vp(vp, vtl);
    c->tr = (struct hv_segment){(reg_t)&tss, sizeof tss - 1, SEL_TSS, 0x008B};
    c->ldtr = (struct hv_segment){0, 0, 0, 0x0082};
    c->idtr = (struct hv_table){.limit = idtr.limit, .base = idtr.base};
    c->gdtr = (struct hv_table){.limit = gdtr.limit, .base = gdtr.base};
    c->efer = EFER_LME | EFER_LMA;
    c->cr0 = read_cr0();
    c->cr3 = (reg_t)boot_pml4;
    c->cr4 = read_cr4();
    c->pat = rdmsr(MSR_PAT);
}

static u64 with_context(u64 code, u32 vp, unsigned vtl, void (*rip)(void))
{
    struct hv_enable_vp_vtl in = {HV_PARTITION_SELF, vp, vtl, {0}, {0}};
    vsm_context(&in.context, vp == HV_VP_SELF ? self()->vp : vp, vtl, rip);
    return hv_status(code, &in, sizeof in);
}

void vsm_enable(unsigned vtl, entry_handler handler)
{
    struct hv_enable_partition_vtl in = {HV_PARTITION_SELF, vtl, 0, {0}};
    u64 status = hv_status(HV_CALL_ENABLE_PARTITION_VTL, &in, sizeof in);
    if (CHECK(status == 0, "EnablePartitionVtl(%u): 0x%llx", vtl, status)) {
        prepare(self()->vp, vtl, handler);
        status = with_context(HV_CALL_ENABLE_VP_VTL, HV_VP_SELF, vtl, rt_entry);
        if (CHECK(status == 0, "EnableVpVtl(%u): 0x%llx", vtl, status))
            return;
    }
    exit(EXIT_FAIL);
}

u64 vsm_enable_on(u32 vp, unsigned vtl, entry_handler handler)
{
    prepare(vp, vtl, handler);
    return with_context(HV_CALL_ENABLE_VP_VTL, vp, vtl, rt_entry);
}

/* VTL0 of another processor starts here. */
static void (*volatile started[VPS])(void);

static void vtl0_entry(void)
{
    apic_enable();
    open_interface();
    started[self()->vp]();
    for (;;)
        asm volatile("cli; hlt");
}

u64 vsm_start(u32 vp, void (*fn)(void))
{
    prepare(vp, 0, 0);
    started[vp] = fn;
    return with_context(HV_CALL_START_VIRTUAL_PROCESSOR, vp, 0, vtl0_entry);
}

u64 vtl_call(u64 rdi, u64 rsi, u64 rdx)
{
    u64 stub = self()->call_stub;
    register u64 r8 asm("r8") = stub;
    asm volatile("xorl %%ecx, %%ecx; call *%%r8"
                 : "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r8)
                 :
                 : "rax", "rcx", "r9", "r10", "r11", "memory", "cc");
    return rdi;
}
