/* VTL1: its initial context, its first entry, and what it does on each VTL call. */
#include "vsm.h"

#define VTL1_CS 0x68
#define VTL1_DATA 0x70
#define VTL1_TR 0x48
#define VTL1_LDTR 0x58
#define VTL1_IDT_LIMIT 0x8FF /* vectors 0-0x8F, to differ from VTL0's */
#define VTL1_CR0 0x80010031u /* PG WP NE ET PE */
#define VTL1_CR4 (CR4_PAE | CR4_PGE)
#define VTL1_PAT 0x0007050600070406ull

extern u64 boot_pml4[], gdt[];

static u64 pml4[512] ALIGNED(4096), pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096);
static u64 gdt1[15], idt1[(VTL1_IDT_LIMIT + 1) / 8] ALIGNED(16);
static struct tss tss1 ALIGNED(16);
static u8 stack1[8192] ALIGNED(16);

volatile u32 vtl1_command;
volatile u64 vtl1_entries;
volatile bool vtl1_fast = true;
struct register_file vtl1_seen, vtl1_give;
u64 vtl1_seen_shared[5];

static u64 tss_descriptor(u64 base, u32 limit, u64 type)
{
    return limit | (base & 0xFFFFFF) << 16 | type << 40 | (base >> 24 & 0xFF) << 56;
}

void vtl1_context(struct hv_initial_context *c)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) idtr;
    asm volatile("sidt %0" : "=m"(idtr));
    memcpy(idt1, (void *)idtr.base, sizeof idt1);
    memcpy(gdt1, gdt, SEL_TEST);
    gdt1[VTL1_TR >> 3] = tss_descriptor((reg_t)&tss1, sizeof tss1 - 1, 0x8B);
    gdt1[VTL1_LDTR >> 3] = tss_descriptor((reg_t)gdt1, sizeof gdt1 - 1, 0x82);
    gdt1[VTL1_CS >> 3] = 0x00AF9B000000FFFF;
    gdt1[VTL1_DATA >> 3] = 0x00CF93000000FFFF;
    tss1.iomap = sizeof tss1;

    memcpy(pml4, boot_pml4, sizeof pml4);
    pml4[1] = (reg_t)pdpt | 7;
    pdpt[0] = (reg_t)pd | 7;
    pd[0] = PRIVATE_MEMORY(1) | 0x87;

    const struct hv_segment data = {0, 0xFFFFFFFF, VTL1_DATA, 0xC093};
    c->rip = (reg_t)vtl1_start;
    c->rsp = (reg_t)stack1 + sizeof stack1;
    c->rflags = FLAG_FIXED;
    c->cs = (struct hv_segment){0, 0xFFFFFFFF, VTL1_CS, 0xA09B};
    c->ds = c->es = c->fs = c->gs = c->ss = data;
    c->tr = (struct hv_segment){(reg_t)&tss1, sizeof tss1 - 1, VTL1_TR, 0x008B};
    c->ldtr = (struct hv_segment){(reg_t)gdt1, sizeof gdt1 - 1, VTL1_LDTR, 0x0082};
    c->idtr = (struct hv_table){.limit = VTL1_IDT_LIMIT, .base = (reg_t)idt1};
    c->gdtr = (struct hv_table){.limit = sizeof gdt1 - 1, .base = (reg_t)gdt1};
    c->efer = EFER_LME | EFER_LMA;
    c->cr0 = VTL1_CR0;
    c->cr3 = (reg_t)pml4;
    c->cr4 = VTL1_CR4;
    c->pat = VTL1_PAT;
}

/* Called once, at the initial context. */
void vtl1_first(void)
{
    struct vtl *v = &vtls[1];
    u16 tr, ldtr;
    asm volatile("str %w0; sldt %w1" : "=r"(tr), "=r"(ldtr));
    printf("VTL1: first entry\n");
    CHECK(vtl1_sp_seen == (reg_t)stack1 + sizeof stack1, "RSP 0x%llx", vtl1_sp_seen);
    CHECK(read_cr0() == VTL1_CR0, "CR0 0x%lx", read_cr0());
    CHECK(read_cr3() == (reg_t)pml4, "CR3 0x%lx", read_cr3());
    CHECK(read_cr4() == VTL1_CR4, "CR4 0x%lx", read_cr4());
    CHECK(read_cs() == VTL1_CS && read_ds() == VTL1_DATA && read_es() == VTL1_DATA && read_fs() == VTL1_DATA &&
          read_gs() == VTL1_DATA && read_ss() == VTL1_DATA, "a segment register is not the context's");
    CHECK(tr == VTL1_TR && ldtr == VTL1_LDTR, "TR 0x%x LDTR 0x%x", tr, ldtr);
    CHECK(rdmsr(MSR_EFER) == (EFER_LME | EFER_LMA), "EFER 0x%llx", rdmsr(MSR_EFER));
    CHECK(rdmsr(MSR_PAT) == VTL1_PAT, "PAT 0x%llx", rdmsr(MSR_PAT));
    CHECK(rdmsr(HV_MSR_HYPERCALL) == 0 && rdmsr(HV_MSR_GUEST_OS_ID) == 0 && rdmsr(HV_MSR_VP_ASSIST_PAGE) == 0,
          "VTL1 does not start with Hyper-V MSRs of its own");

    open_interface(v);
    u64 offsets = get_vp_register(v, HV_REG_VSM_CODE_PAGE_OFFSETS);
    vtl1_return_stub = (reg_t)v->hypercall_page + (offsets >> 12 & 0xFFF);
    u64 status = get_vp_register(v, HV_REG_VSM_VP_STATUS);
    CHECK((status & 0xF) == 1 && status >> 16 == 3, "VsmVpStatus in VTL1: 0x%llx", status);

    private_set(1);
    private_read(private_kept[1]);
    vtl1_control = 1;
    vtl1_give.flags = STATUS_FLAGS_VTL1;
}

/* Called on every VTL call but the first, unless the command is SERVE_NOTHING. */
void vtl1_serve(void)
{
    struct hv_vp_assist *assist = vtls[1].assist;
    CHECK(assist->entry_reason == HV_ENTRY_VTL_CALL, "EntryReason %u", assist->entry_reason);
    CHECK(vtl1_sp_seen == (reg_t)stack1 + sizeof stack1, "VTL1's RSP 0x%llx", vtl1_sp_seen);
    CHECK(vtl1_seen.flags == STATUS_FLAGS_VTL1, "VTL1's RFLAGS 0x%llx", vtl1_seen.flags);
    assist->entry_reason = 0;
    vtl1_entries++;
    if (vtl1_command == SERVE_PRIVATE) {
        private_compare(1, "on entry to VTL1");
        return;
    }
    read_shared(vtl1_seen_shared);
    u64 shared[5];
    for (int i = 0; i < 5; i++)
        shared[i] = ~vtl1_seen_shared[i];
    for (int i = 0; i < GPRS; i++)
        vtl1_give.gpr[i] = ~vtl1_seen.gpr[i];
    write_shared(shared);
    vtl1_control = vtl1_fast;
    assist->return_rax = 0xAAAAAAAA00000001;
    assist->return_rcx = 0xBBBBBBBB00000002;
}
