/*
 * A paravisor in VTL2: strata run build/vsm_beneath.elf --planes vsm --policy ms-vtl2 --vtl2 build/vsm_paravisor.elf. It
 * is entered before the guest's first instruction, hides its own memory and itself, takes VSM away from the guest, and
 * gives it devices of its own: CPUID leaves, MSRs, I/O ports and an instruction that processors do not have. Intercepts
 * come through the VP assist page, as Linux's driver for VTL2 asks for them. What it cannot handle ends the run.
 */
#include "paravisor.h"
#include "rt.h"

#define PAGE 4096ull
#define PAGES 4 /* input, output, assist, messages */

/* What the loader leaves at RSP. */
struct loaded {
    u64 zero, base, size;
};

static struct vtl_vp vp0;
static u8 hypercall_page[PAGE] ALIGNED(4096);
static u8 pages[PAGES][PAGE] ALIGNED(4096);
static struct loaded own;
static u64 kept, handled;

static void entered(struct shared_registers *r);

void monitor_exception(u64 vector, u64 first, u64 second)
{
    printf("paravisor: exception %llu in VTL2 (stack: 0x%llx 0x%llx)\n", vector, first, second);
    exit(EXIT_UNHANDLED);
}

/* Before anything else: `r` is at the end of the loader's stack. */
void monitor_start(struct shared_registers *r)
{
    console = CONSOLE_E9;
    own = *(struct loaded *)(r + 1);
    vp0 = (struct vtl_vp){.assist = (void *)pages[2], .entered = entered, .vp = 0, .vtl = 2,
                          .hypercall_page = hypercall_page, .input = pages[0], .output = pages[1], .messages = pages[3]};
    wrmsr(MSR_GS_BASE, (reg_t)&vp0);
}

/* --- what VTL2 asks for ------------------------------------------------------------------------------------------- */

static void must(u64 status, const char *what)
{
    if (status) {
        printf("paravisor: %s: status 0x%llx\n", what, status);
        exit(EXIT_FAIL);
    }
}

static void intercept(u32 type, u32 access, u64 parameter, const char *what)
{
    struct hv_install_intercept in = {HV_PARTITION_SELF, access, type, parameter};
    must(hv_status(HV_CALL_INSTALL_INTERCEPT, &in, sizeof in), what);
}

static void answer(u32 leaf, u32 value)
{
    struct hv_register_cpuid in = {HV_PARTITION_SELF, HV_VP_ANY, HV_INTERCEPT_CPUID, leaf, 0, 0, 1, 0,
                                   {value, ~0u, value, ~0u, value, ~0u, value, ~0u}};
    must(hv_status(HV_CALL_REGISTER_INTERCEPT_RESULT, &in, sizeof in), "a CPUID result");
}

static void set_up(void)
{
    hv_set(HV_REG_GUEST_VSM_PARTITION_CONFIG, 0, 0);
    hv_set(HV_REG_VSM_PARTITION_CONFIG, 0,
           HV_CONFIG_PROTECT | HV_CONFIG_INTERCEPT_VP_STARTUP | HV_CONFIG_INTERCEPT_CPUID | HV_CONFIG_INTERCEPT_PAGE);
    for (u64 gpa = own.base; gpa < own.base + own.size; gpa += PAGE)
        must(hv_protect(gpa, 0), "hiding its memory");
    intercept(HV_INTERCEPT_MSR, HV_ACCESS_READ | HV_ACCESS_WRITE, 0, "MSRs that do not exist");
    intercept(HV_INTERCEPT_IO_PORT_RANGE, HV_ACCESS_READ | HV_ACCESS_WRITE, PORT | (PORT + PORTS - 1) << 16, "ports");
    intercept(HV_INTERCEPT_EXCEPTION, HV_ACCESS_EXECUTE, V_UD, "#UD");
    answer(LEAF_RESULT, RESULT);
    printf("paravisor: VTL2 has 0x%llx-0x%llx, hidden from VTL0\n", own.base, own.base + own.size - 1);
}

/* --- what VTL0 gets ----------------------------------------------------------------------------------------------- */

static void give(u64 *to, u64 value) { *to = (u32)value; }

/* The leaf of the paravisor, or what the hypervisor would have said. */
static void cpuid_of(const struct hv_message *m, struct shared_registers *r)
{
    bool mine = (u32)m->cpuid.rax == LEAF_STATE;
    give(&r->rax, mine ? PRESENT : m->cpuid.default_rax);
    give(&r->rbx, mine ? kept : m->cpuid.default_rbx);
    give(&r->rcx, mine ? handled : m->cpuid.default_rcx);
    give(&r->rdx, mine ? own.base : m->cpuid.default_rdx);
}

static void msr_of(const struct hv_message *m, struct shared_registers *r)
{
    if (m->access == 1) {
        kept = m->msr.rax;
        return;
    }
    give(&r->rax, m->msr.index ^ MSR_ANSWER);
    give(&r->rdx, 0);
}

static void port_of(const struct hv_message *m, struct shared_registers *r)
{
    if (m->access == 1)
        kept = m->port.rax & 0xFF;
    else
        r->rax = (r->rax & ~0xFFull) | (m->port.port & 0xFF);
}

static void entered(struct shared_registers *r)
{
    if (!r) {
        set_up();
        return;
    }
    u32 reason = self()->assist->entry_reason;
    const struct hv_message *m = (void *)(self()->assist->message);
    u32 length = m->length & 0xF;
    if (reason == HV_ENTRY_VTL_CALL) {
        r->rsi = 2 * r->rdi;
        return;
    }
    handled++;
    if (reason == HV_ENTRY_INTERCEPT && m->type == HV_MESSAGE_CPUID)
        cpuid_of(m, r);
    else if (reason == HV_ENTRY_INTERCEPT && m->type == HV_MESSAGE_MSR)
        msr_of(m, r);
    else if (reason == HV_ENTRY_INTERCEPT && m->type == HV_MESSAGE_IO_PORT)
        port_of(m, r);
    else if (reason == HV_ENTRY_INTERCEPT && m->type == HV_MESSAGE_EXCEPTION && m->exception.vector == V_UD)
        r->rbx = ~r->rbx;
    else if (reason == HV_ENTRY_INTERCEPT && m->type == HV_MESSAGE_GPA) {
        hv_set(HV_REG_PENDING_EVENT0, HV_TARGET_VTL(0), HV_EVENT_GP);
        return;
    } else {
        printf("paravisor: entered for reason %u, message 0x%x\n", reason, m->type);
        exit(EXIT_UNHANDLED);
    }
    hv_set(HV_REG_RIP, HV_TARGET_VTL(0), m->rip + length);
}
