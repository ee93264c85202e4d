/* A guest at VMPL2 whose SVSM gives out its interrupts: the SVSM's local APIC in every way that the protocol has, then the
 * hypervisor's again. Needs an SVSM that was launched with restricted injection. */
#include "rt.h"

enum { OFF, ON, LOCKED };
#define LOW 0x61u
#define HIGH 0x91u
#define TIMER 0x71u
#define ICR_NMI 0x400u
#define ICR_SELF (1u << 18)
#define ICR_INIT 0x500u
#define VECTOR_ENABLE (1u << 8)
#define VECTOR_ALL (1u << 9)
#define ENOUGH 100000u

static volatile u32 seen[256], order[8];
static volatile u32 count, in_service;
static bool by_host; /* X2_EOI goes to the hypervisor's local APIC */

static u64 apic(u32 call, u64 rcx, u64 *rdx)
{
    struct svsm_call c = {rcx, *rdx, 0, 0};
    u64 rc = svsm_call(SVSM_APIC, call, &c);
    *rdx = call == APIC_QUERY ? c.rcx : c.rdx;
    return rc;
}

static u64 written(u64 number, u64 value) { return apic(APIC_WRITE, number, &value); }

static u64 got(u64 number)
{
    u64 value = ~0ull;
    return apic(APIC_READ, number, &value) == SVSM_SUCCESS ? value : ~0ull;
}

static u64 configured(u32 call, u64 what)
{
    u64 unused = 0;
    return apic(call, what, &unused);
}

static bool bit(u32 base, unsigned vector) { return got(base + vector / 32) >> vector % 32 & 1; }

static void interrupt(struct trap_frame *f)
{
    seen[f->vector]++;
    order[count++ % 8] = (u32)f->vector;
    if (by_host) {
        wrmsr(X2_EOI, 0);
        return;
    }
    in_service += bit(X2_ISR, (unsigned)f->vector);
    written(X2_EOI, 0);
}

static void nmi(struct trap_frame *f) { seen[f->vector]++; }

/* Interrupts may come for a moment. */
static void listen(void) { asm volatile("sti; nop; nop; cli" : : : "memory"); }

static bool came(unsigned vector, u32 times)
{
    bool right = seen[vector] == times;
    seen[vector] = 0;
    return right;
}

static void registers(void)
{
    u64 value = 1;
    CHECK(apic(APIC_QUERY, 0, &value) == SVSM_SUCCESS && value == 0, "no features beyond the protocol's");
    CHECK(configured(APIC_CONFIGURE, LOCKED) == SVSM_SUCCESS, "the guest relies on the SVSM's APIC");
    CHECK(configured(APIC_CONFIGURE, OFF) == SVSM_SNP_ERROR(0), "so it cannot be switched off");
    CHECK(configured(APIC_CONFIGURE, 3) == SVSM_INVALID_PARAMETER, "there is no configuration 3");
    CHECK(got(X2_ID) == 0 && got(X2_LDR) == 1, "ID and logical ID");
    CHECK(written(X2_TPR, 0x40) == SVSM_SUCCESS && got(X2_TPR) == 0x40 && got(X2_PPR) == 0x40, "the task priority");
    u64 cr8;
    asm volatile("mov %%cr8, %0" : "=r"(cr8));
    CHECK(cr8 == 4, "is in CR8 too: %llu", cr8);
    CHECK(written(X2_TPR, 0) == SVSM_SUCCESS && written(X2_TPR, 0x100) == SVSM_INVALID_PARAMETER, "and has 8 bits");
    CHECK(got(X2_EOI) == ~0ull && got(X2_SVR) == ~0ull, "what cannot be read");
    CHECK(written(X2_ID, 1) == SVSM_INVALID_PARAMETER && written(X2_IRR, 1) == SVSM_INVALID_PARAMETER, "what cannot be written");
    CHECK(written(X2_EOI, 1) == SVSM_INVALID_PARAMETER, "EOI takes 0");
    CHECK(written(X2_ICR, ICR_SELF | ICR_INIT) == SVSM_INVALID_PARAMETER, "INIT is no interrupt");
    CHECK(written(X2_SELF_IPI, 16) == SVSM_INVALID_PARAMETER, "vector 16 is an exception's");
    CHECK(configured(APIC_VECTOR, VECTOR_ENABLE | 5) == SVSM_INVALID_PARAMETER, "so is 5");
    CHECK(configured(APIC_VECTOR, 1u << 10) == SVSM_INVALID_PARAMETER, "reserved bits");
    CHECK(configured(5, 0) == SVSM_UNSUPPORTED_CALL, "there is no call 5");
}

static void own_interrupts(void)
{
    asm volatile("sti");
    CHECK(written(X2_SELF_IPI, LOW) == SVSM_SUCCESS, "an interrupt to itself");
    asm volatile("nop; cli");
    CHECK(came(LOW, 1) && in_service == 1 && !bit(X2_ISR, LOW), "comes at once, and is in service until its EOI");
    count = in_service = 0;
    written(X2_SELF_IPI, LOW);
    written(X2_ICR, ICR_SELF | HIGH);
    CHECK(bit(X2_IRR, LOW) && bit(X2_IRR, HIGH) && count == 0 && got(X2_ICR) == (ICR_SELF | HIGH), "with IF = 0 they wait");
    listen();
    listen();
    CHECK(came(LOW, 1) && came(HIGH, 1) && order[0] == HIGH, "and come by priority");
    written(X2_TPR, 0x70);
    written(X2_SELF_IPI, LOW);
    listen();
    CHECK(came(LOW, 0) && bit(X2_IRR, LOW), "the task priority holds one back");
    written(X2_TPR, 0x50);
    listen();
    CHECK(came(LOW, 1), "until it is lower");
    written(X2_TPR, 0x70);
    written(X2_SELF_IPI, LOW);
    asm volatile("mov %0, %%cr8" : : "r"(5ull));
    listen();
    CHECK(came(LOW, 1), "which CR8 can say");
    written(X2_TPR, 0);
    written(X2_ICR, ICR_SELF | ICR_NMI);
    asm volatile("nop");
    CHECK(came(V_NMI, 1), "an NMI comes whatever IF is");
}

/* The hypervisor's timer, its vector announced by the doorbell page. */
static void start_timer(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | X2_ENABLED);
    wrmsr(X2_SVR, SVR_ENABLED);
    wrmsr(X2_TIMER_DIVIDE, 0xB);
    wrmsr(X2_LVT_TIMER, TIMER);
    wrmsr(X2_TIMER_INITIAL, 20000);
}

static bool wait_for(unsigned vector)
{
    for (u32 i = 0; i < ENOUGH && !seen[vector]; i++)
        asm volatile("sti; nop; cli" : : : "memory");
    return came(vector, 1);
}

static void hosts_interrupts(void)
{
    start_timer();
    CHECK(wait_for(TIMER), "the timer interrupts a guest that runs");
    start_timer();
    asm volatile("sti; hlt; cli" : : : "memory");
    CHECK(came(TIMER, 1), "and wakes one that has halted");
    CHECK(configured(APIC_VECTOR, TIMER) == SVSM_SUCCESS, "a vector that is not allowed");
    start_timer();
    CHECK(!wait_for(TIMER), "is not the hypervisor's to raise");
    written(X2_SELF_IPI, TIMER);
    listen();
    CHECK(came(TIMER, 1), "but the guest's");
    CHECK(configured(APIC_VECTOR, VECTOR_ENABLE | VECTOR_ALL) == SVSM_SUCCESS, "all are allowed again");
    start_timer();
    CHECK(wait_for(TIMER), "and come");
}

static void given_back(void)
{
    written(X2_SELF_IPI, LOW);
    CHECK(configured(APIC_CONFIGURE, ON) == SVSM_SUCCESS && configured(APIC_CONFIGURE, OFF) == SVSM_SUCCESS, "it is switched off");
    CHECK(got(X2_ID) == ~0ull && written(X2_EOI, 0) == SVSM_INVALID_REQUEST, "and not there any more");
    CHECK(!svsm_interrupts(), "SEV_STATUS says so");
    by_host = true;
    CHECK(rdmsr(X2_IRR + LOW / 32) >> LOW % 32 & 1, "what waited is the hypervisor's to deliver");
    listen();
    CHECK(came(LOW, 1), "which it does");
    start_timer();
    CHECK(wait_for(TIMER), "and its own without help");
}

int main(void)
{
    snp_open("snp_interrupts");
    struct svsm_call c = {.rcx = (u64)SVSM_APIC << 32 | 1};
    if (my_vmpl() == 0 || svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c) != SVSM_SUCCESS || !c.rcx) {
        printf("snp_interrupts: skipped: needs an SVSM below it that has restricted injection\n");
        return EXIT_SKIP;
    }
    CHECK(svsm_interrupts(), "SEV_STATUS has alternate injection");
    set_handler(LOW, interrupt);
    set_handler(HIGH, interrupt);
    set_handler(TIMER, interrupt);
    set_handler(V_NMI, nmi);
    registers();
    own_interrupts();
    hosts_interrupts();
    given_back();
    return check_report("snp_interrupts");
}
