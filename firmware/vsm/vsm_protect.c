/*
 * Memory protections: VTL1 takes rights to three pages away from VTL0; VTL0 then loads, stores and calls. VTL1 gets a
 * message about each, checks it, and relaxes the page, skips the instruction, or gives VTL0 a #GP.
 */
#include "rt.h"

#define SINT0_VECTOR 0x50

static u8 page[3][4096] ALIGNED(4096);
static volatile unsigned intercepts, faults;
static u64 expected_gpa, expected_rip;
static unsigned expected_access;
static enum { RELAX, SKIP, FAULT } reaction;

static void vtl1(struct shared_registers *r)
{
    if (!r) { /* first entry */
        sint_open(0, SINT0_VECTOR);
        hv_set(HV_REG_VSM_PARTITION_CONFIG, 0, HV_CONFIG_PROTECT);
        CHECK(hv_protect((reg_t)page[0], 0) == 0, "no access to page 0");
        CHECK(hv_protect((reg_t)page[1], HV_MAP_READ) == 0, "page 1 read-only");
        CHECK(hv_protect((reg_t)page[2], HV_MAP_READ | HV_MAP_WRITE) == 0, "page 2 not executable");
        return;
    }
    struct hv_message *m = message(0);
    if (!CHECK(m && self()->assist->entry_reason == HV_ENTRY_INTERRUPT, "VTL1 was entered without a message"))
        exit(EXIT_FAIL);
    sti(); /* takes SINT0's vector */
    asm volatile("nop");
    cli();
    CHECK(m->type == HV_MESSAGE_GPA && m->access == expected_access, "type 0x%x access %u", m->type, m->access);
    CHECK(m->memory.gpa == expected_gpa, "GPA 0x%llx, not 0x%llx", m->memory.gpa, expected_gpa);
    CHECK(m->rip == expected_rip, "RIP 0x%llx, not 0x%llx", m->rip, expected_rip);
    CHECK(m->memory.gpr[0] == r->rax && m->memory.gpr[7] == r->rdi, "the message's registers are not the live ones");
    if (expected_access != 2)
        CHECK(m->memory.bytes == (m->length & 0xF) && !memcmp(m->memory.code, (void *)m->rip, m->memory.bytes),
              "%u instruction bytes", m->memory.bytes);
    if (reaction == RELAX)
        CHECK(hv_protect(m->memory.gpa, HV_MAP_READ | HV_MAP_WRITE | HV_MAP_EXECUTE) == 0, "relaxing");
    else if (reaction == SKIP)
        hv_set(HV_REG_RIP, HV_TARGET_VTL(0), m->rip + (m->length & 0xF));
    else
        hv_set(HV_REG_PENDING_EVENT0, HV_TARGET_VTL(0), HV_EVENT_GP);
    intercepts++;
    message_done(0);
}

static void on_sint0(struct trap_frame *f) { (void)f; }

static void on_gp(struct trap_frame *f)
{
    faults++;
    f->ip = f->rbx; /* where the instruction ends */
}

static u64 load(int p)
{
    u64 value = 0;
    expected_gpa = (reg_t)page[p] + 8;
    expected_access = 0;
    asm volatile("movq $1f, expected_rip; leaq 2f(%%rip), %%rbx\n1: movq (%1), %0\n2:"
                 : "+r"(value) : "r"(&page[p][8]) : "rbx", "memory");
    return value;
}

static void store(int p, u64 value)
{
    expected_gpa = (reg_t)page[p] + 16;
    expected_access = 1;
    asm volatile("movq $1f, expected_rip; leaq 2f(%%rip), %%rbx\n1: movq %0, (%1)\n2:"
                 : : "r"(value), "r"(&page[p][16]) : "rbx", "memory");
}

int main(void)
{
    vsm_open("vsm_protect", 1);
    set_handler(SINT0_VECTOR, on_sint0);
    set_handler(V_GP, on_gp);
    *(u64 *)&page[0][8] = 0x1122334455667788;
    memcpy(page[2], "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov eax, 42; ret */
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);

    reaction = SKIP;
    CHECK(load(0) == 0 && intercepts == 1, "a skipped load");
    reaction = FAULT;
    CHECK(load(0) == 0 && intercepts == 2 && faults == 1, "a load that ends in #GP");
    reaction = RELAX;
    CHECK(load(0) == 0x1122334455667788 && intercepts == 3, "a load that completes");
    CHECK(load(0) == 0x1122334455667788 && intercepts == 3, "a load that nobody minds");
    CHECK(load(1) == 0 && intercepts == 3, "a load from a read-only page");
    store(1, 99);
    CHECK(intercepts == 4 && *(u64 *)&page[1][16] == 99, "a store that completes");
    expected_gpa = expected_rip = (reg_t)page[2];
    expected_access = 2;
    int answer = ((int (*)(void))page[2])();
    CHECK(answer == 42 && intercepts == 5, "a call that completes: %d", answer);
    CHECK(hv_protect((reg_t)page[0], 0) != 0, "VTL0 set a protection");
    return check_report("vsm_protect");
}
