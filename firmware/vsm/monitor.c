/*
 * A monitor in VTL1 that guards the kernel in VTL0, which need not know of it: strata run vmlinuz --planes vsm
 * --vtl1 build/vsm_monitor.elf. It is entered before the kernel's first instruction, hides its own memory, and then
 * looks at VTL0 at intervals. When the page that system calls enter (LSTAR) has been mapped read-only for a while, the
 * kernel has patched itself and booted. All that VTL0 then maps read-only and executable around it, its text, and its
 * IDT are locked, on all processors that run; so are CR0, CR4 and the MSRs that lead to the text. Whoever tries to
 * change them takes #GP. The monitor speaks through debug port 0xE9.
 */
#include "rt.h"

#define PAGE 4096ull
#define MAX_VPS 16
#define PAGES 4 /* of each processor: input, output, assist, messages */
#define SINT_INTERCEPT 0
#define SINT_TIMER 1
#define VECTOR_INTERCEPT 0x50
#define VECTOR_TIMER 0x51
#define VECTOR_KICK 0x52
#define TICK 100000ull /* 10 ms in units of 100 ns */
#define PATIENCE 5     /* ticks for which the text has been read-only */
#define MAX_TEXT (64ull << 20)
#define CALL_LOCK 1 /* RDI of a VTL call: lock now */

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull
#define CR4_LA57 (1u << 12)

/* CrInterceptControl: writes of CR0, CR4, LSTAR, STAR, CSTAR, EFER, IDTR, SYSENTER_CS, _EIP, _ESP, SFMASK */
#define LOCKED_REGISTERS (1ull | 1 << 1 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 14 | 1 << 16 | 7 << 19 | 1 << 22)
#define LOCKED_CR0 (CR0_PE | CR0_WP | CR0_PG)
#define LOCKED_CR4 (CR4_PAE | CR4_UMIP | CR4_LA57 | CR4_SMEP | CR4_SMAP)

/* What the loader leaves at RSP. */
struct loaded {
    u64 zero, base, size;
};

struct gate {
    u16 offset_low, selector, attributes, offset_mid;
    u32 offset_high, zero;
};

struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));

static struct vtl_vp vps[MAX_VPS];
static u8 hypercall_page[PAGE] ALIGNED(4096);
static u8 pages[MAX_VPS][PAGES][PAGE] ALIGNED(4096);
static u8 stacks[MAX_VPS][STACK_BYTES] ALIGNED(16);
static struct gate idt[256];
static struct loaded own;
static u32 vp_count;
static unsigned patience;
static bool locked, text_locked;
static u64 text_first, text_last;
extern u8 monitor_vectors[];

static void entered(struct shared_registers *r);

void monitor_exception(u64 vector, u64 first, u64 second)
{
    printf("monitor: exception %llu in VTL1 (stack: 0x%llx 0x%llx)\n", vector, first, second);
    exit(EXIT_UNHANDLED);
}

static struct vtl_vp *prepare(u32 vp)
{
    u8(*p)[PAGE] = pages[vp];
    vps[vp] = (struct vtl_vp){.assist = (void *)p[2], .entered = entered, .vp = vp, .vtl = 1,
                              .hypercall_page = hypercall_page, .input = p[0], .output = p[1], .messages = p[3]};
    return &vps[vp];
}

/* Before anything else: `r` is at the end of the loader's stack. */
void monitor_start(struct shared_registers *r)
{
    console = CONSOLE_E9;
    own = *(struct loaded *)(r + 1);
    vp_count = cpuid(0x40000005, 0).eax;
    if (vp_count > MAX_VPS)
        vp_count = MAX_VPS;
    for (unsigned i = 0; i < 256; i++) {
        u64 at = (reg_t)monitor_vectors + 16 * i;
        idt[i] = (struct gate){(u16)at, read_cs(), 0x8E00, (u16)(at >> 16), (u32)(at >> 32), 0};
    }
    wrmsr(MSR_GS_BASE, (reg_t)prepare(0));
}

/* --- VTL0's address space --------------------------------------------------------------------------------------- */

struct mapping {
    u64 gpa, size; /* of the whole page; size 0: none */
    bool writable, user, executable;
};

static u64 entry_at(u64 gpa) { return gpa < 0xC0000000 || gpa >= 1ull << 32 ? *(volatile u64 *)gpa : 0; }

/* How VTL0's page tables map a virtual address (SDM vol. 3A, 4.5). */
static struct mapping walk(u64 va, u64 cr3, bool la57)
{
    struct mapping m = {0, 0, true, true, true};
    u64 table = cr3 & PTE_ADDRESS;
    for (int shift = la57 ? 48 : 39; shift >= 12; shift -= 9) {
        u64 e = entry_at(table + (va >> shift & 511) * 8);
        if (!(e & PTE_P))
            return m;
        m.writable &= !!(e & PTE_W);
        m.user &= !!(e & PTE_U);
        m.executable &= !(e & PTE_NX);
        if (shift == 12 || (shift <= 30 && e & PTE_PS)) {
            m.size = 1ull << shift;
            m.gpa = e & PTE_ADDRESS & -m.size;
            return m;
        }
        table = e & PTE_ADDRESS;
    }
    return m;
}

static bool is_text(struct mapping m) { return m.size && m.executable && !m.writable && !m.user; }

/* --- locking ---------------------------------------------------------------------------------------------------- */

static bool protect(u64 gpa, u64 size, u32 flags)
{
    for (u64 end = gpa + size; gpa < end;) {
        struct hv_modify_protection *in = (void *)self()->input;
        u64 n = 0;
        *in = (struct hv_modify_protection){HV_PARTITION_SELF, flags, 0, {0}, {0}};
        for (; gpa < end && n < 500; gpa += PAGE)
            in->page[n++] = gpa >> 12;
        if (hv_status(HV_CALL_MODIFY_VTL_PROTECTION_MASK | HV_REP(n), in, 0))
            return false;
    }
    return true;
}

static void lock_text(u64 lstar, u64 cr3, bool la57)
{
    u64 first = lstar & -PAGE, last = first, bytes = 0;
    struct mapping m;
    while (is_text(m = walk(first - 1, cr3, la57)) && lstar - first < MAX_TEXT)
        first = (first - 1) & -m.size;
    while (is_text(m = walk(last, cr3, la57)) && last - first < 2 * MAX_TEXT)
        last = (last & -m.size) + m.size;
    for (u64 va = first; va < last; va = (va & -m.size) + m.size, bytes += m.size) {
        m = walk(va, cr3, la57);
        if (!protect(m.gpa, m.size, HV_MAP_READ | HV_MAP_EXECUTE))
            printf("monitor: 0x%llx cannot be locked\n", m.gpa);
    }
    text_first = first;
    text_last = last;
    struct hv_table idtr;
    hv_get(HV_REG_IDTR, HV_TARGET_VTL(0));
    memcpy(&idtr, self()->output, sizeof idtr);
    for (u64 va = idtr.base & -PAGE; va <= idtr.base + idtr.limit; va += PAGE) {
        m = walk(va, cr3, la57);
        if (!m.size || !protect(m.gpa + (va & (m.size - 1)), PAGE, HV_MAP_READ))
            printf("monitor: the IDT cannot be locked\n");
    }
    printf("monitor: %llu KiB of kernel text at 0x%llx-0x%llx and the IDT at 0x%llx are locked\n", bytes >> 10, first,
           last - 1, idtr.base);
}

/* CR0, CR4 and MSRs of VTL0 on this processor. */
static void lock_registers(void)
{
    hv_set(HV_REG_CR_INTERCEPT_CONTROL, 0, LOCKED_REGISTERS);
    hv_set(HV_REG_CR_INTERCEPT_CR0_MASK, 0, LOCKED_CR0);
    hv_set(HV_REG_CR_INTERCEPT_CR4_MASK, 0, LOCKED_CR4);
    printf("monitor: VP %u: CR0, CR4, IDTR, EFER and the MSRs of system calls are locked\n", self()->vp);
}

/* VTL1 on a processor that VTL0 has started: enabled, and entered through an interrupt of VTL1's. */
static void bring_up(u32 vp)
{
    struct table_pointer gdtr, idtr;
    const struct hv_segment data = {0, 0xFFFFFFFF, read_ss(), 0xC093};
    struct hv_enable_vp_vtl in = {HV_PARTITION_SELF, vp, 1, {0}, {0}};
    struct hv_initial_context *c = &in.context;
    if (hv_get_of(vp, HV_REG_INTERNAL_ACTIVITY_STATE, HV_TARGET_VTL(0)) & HV_ACTIVITY_STARTUP_SUSPEND)
        return;
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    c->rip = (reg_t)rt_entry;
    c->rsp = (reg_t)stacks[vp] + STACK_BYTES;
    c->rflags = FLAG_FIXED;
    c->cs = (struct hv_segment){0, 0xFFFFFFFF, read_cs(), 0xA09B};
    c->ds = c->es = c->fs = c->gs = c->ss = data;
    c->gs.base = (reg_t)prepare(vp);
    c->tr = (struct hv_segment){0, 0xFFFF, 0, 0x008B};
    c->ldtr = (struct hv_segment){0, 0, 0, 0x0082};
    c->idtr = (struct hv_table){.limit = idtr.limit, .base = idtr.base};
    c->gdtr = (struct hv_table){.limit = gdtr.limit, .base = gdtr.base};
    c->efer = rdmsr(MSR_EFER);
    c->cr0 = read_cr0();
    c->cr3 = read_cr3();
    c->cr4 = read_cr4();
    c->pat = rdmsr(MSR_PAT);
    u64 status = hv_status(HV_CALL_ENABLE_VP_VTL, &in, sizeof in);
    struct hv_send_ipi kick = {VECTOR_KICK, 0, {0}, 1ull << vp};
    if (!status)
        status = hv_status(HV_CALL_SEND_IPI, &kick, sizeof kick);
    if (status)
        printf("monitor: VP %u: VTL1 cannot be enabled: 0x%llx\n", vp, status);
}

static void lock(u64 lstar, u64 cr3, bool la57)
{
    locked = true;
    wrmsr(HV_MSR_STIMER0_CONFIG, 0);
    for (u32 vp = 0; vp < vp_count; vp++)
        if (vp != self()->vp)
            bring_up(vp);
    lock_text(lstar, cr3, la57);
    lock_registers();
    text_locked = true;
}

/* Has the kernel booted? */
static void tick(void)
{
    u64 lstar = hv_get(HV_REG_LSTAR, HV_TARGET_VTL(0)), cr3 = hv_get(HV_REG_CR3, HV_TARGET_VTL(0));
    bool la57 = hv_get(HV_REG_CR4, HV_TARGET_VTL(0)) & CR4_LA57, paging = hv_get(HV_REG_CR0, HV_TARGET_VTL(0)) & CR0_PG;
    /* In user mode CR3 may be a table that has little of the kernel. */
    bool kernel = !(hv_get(HV_REG_CS, HV_TARGET_VTL(0)), ((u16 *)self()->output)[6] & 3);
    if (!kernel)
        return;
    patience = lstar && paging && is_text(walk(lstar, cr3, la57)) ? patience + 1 : 0;
    if (patience > PATIENCE)
        lock(lstar, cr3, la57);
}

/* --- being entered ---------------------------------------------------------------------------------------------- */

static void show(const struct hv_message *m)
{
    printf("monitor: VP %u: ", m->vp);
    if (m->type == HV_MESSAGE_GPA)
        printf("%s of 0x%llx", m->access == 0 ? "read" : m->access == 1 ? "write" : "execution", m->memory.gpa);
    else if (m->type == HV_MESSAGE_MSR)
        printf("MSR 0x%x := 0x%llx", m->msr.index, m->msr.rdx << 32 | (u32)m->msr.rax);
    else
        printf("register 0x%x := 0x%llx", m->reg.name, m->reg.low);
    printf(" at RIP 0x%llx: stopped\n", m->rip);
}

static void entered(struct shared_registers *r)
{
    if (!r) { /* the first time on this processor */
        wrmsr(HV_MSR_SINT0 + SINT_INTERCEPT, HV_SINT_AUTO_EOI | VECTOR_INTERCEPT);
        if (self()->vp == 0) {
            struct table_pointer idtr = {sizeof idt - 1, (reg_t)idt};
            asm volatile("lidt %0" : : "m"(idtr));
            hv_set(HV_REG_VSM_PARTITION_CONFIG, 0, HV_CONFIG_PROTECT);
            printf("monitor: VTL1 has 0x%llx-0x%llx, %s\n", own.base, own.base + own.size - 1,
                   protect(own.base, own.size, 0) ? "hidden from VTL0" : "which cannot be hidden");
            wrmsr(HV_MSR_SINT0 + SINT_TIMER, HV_SINT_AUTO_EOI | VECTOR_TIMER);
            wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | HV_STIMER_PERIODIC | SINT_TIMER << 16);
            wrmsr(HV_MSR_STIMER0_COUNT, TICK);
            return;
        }
        sti();
        asm volatile("nop");
        cli();
        wrmsr(HV_MSR_EOI, 0);
        lock_registers();
        return;
    }
    bool called = self()->assist->entry_reason == HV_ENTRY_VTL_CALL;
    sti();
    asm volatile("nop");
    cli();
    struct hv_message *m = message(SINT_INTERCEPT);
    if (m) {
        show(m);
        hv_set(HV_REG_PENDING_EVENT0, HV_TARGET_VTL(0), HV_EVENT_GP);
        message_done(SINT_INTERCEPT);
    }
    if (message(SINT_TIMER)) {
        message_done(SINT_TIMER);
        if (!locked)
            tick();
    }
    if (called && r->rdi == CALL_LOCK && !locked)
        lock(hv_get(HV_REG_LSTAR, HV_TARGET_VTL(0)), hv_get(HV_REG_CR3, HV_TARGET_VTL(0)),
             hv_get(HV_REG_CR4, HV_TARGET_VTL(0)) & CR4_LA57);
}
