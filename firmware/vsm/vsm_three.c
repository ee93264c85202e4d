/* Three levels: calls go up one by one, interrupts go straight to their level, returns go back to who was interrupted. */
#include "rt.h"

#define VECTOR 0x63

static volatile unsigned log_size;
static volatile u8 trail[32];

static void note(u8 what)
{
    if (log_size < sizeof trail)
        trail[log_size++] = what;
}

static void on_ipi(struct trap_frame *f)
{
    (void)f;
    note(0x10 | self()->vtl);
    wrmsr(HV_MSR_EOI, 0);
}

/* An interrupt to this processor, in the VTL of the active one. */
static void later(u64 ticks)
{
    wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | HV_STIMER_DIRECT | (u64)VECTOR << 4);
    wrmsr(HV_MSR_STIMER0_COUNT, rdmsr(HV_MSR_TIME_REF_COUNT) + ticks);
}

static void take(void)
{
    sti();
    asm volatile("nop");
    cli();
}

static void vtl2(struct shared_registers *r)
{
    if (!r)
        return;
    note(2);
    if (self()->assist->entry_reason == HV_ENTRY_INTERRUPT)
        take();
    else if (r->rdi == 2)
        later(20);
}

static void vtl1(struct shared_registers *r)
{
    if (!r)
        return;
    note(1);
    if (self()->assist->entry_reason == HV_ENTRY_INTERRUPT)
        take();
    else if (r->rdi == 1)
        later(20);
    else if (r->rdi == 2 || r->rdi == 3)
        vtl_call(r->rdi, 0, 0);
    if (r->rdi == 4) { /* VTL2 interrupts VTL1 */
        vtl_call(2, 0, 0);
        for (u64 end = rdmsr(HV_MSR_TIME_REF_COUNT) + 60; rdmsr(HV_MSR_TIME_REF_COUNT) < end;)
            asm volatile("pause");
        note(9);
        r->rdi = 0;
    }
}

static void expect(const char *what, const char *path, unsigned size)
{
    CHECK(log_size == size && !memcmp((const void *)trail, path, size), "%s: %u steps", what, log_size);
    log_size = 0;
}

static void wait(void)
{
    for (u64 end = rdmsr(HV_MSR_TIME_REF_COUNT) + 100; rdmsr(HV_MSR_TIME_REF_COUNT) < end;)
        asm volatile("pause");
}

int main(void)
{
    vsm_open("vsm_three", 2);
    set_handler(VECTOR, on_ipi);
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    CHECK(vsm_enable_on(0, 2, vtl2) != 0, "VTL2 before the partition has it");
    log_size = 0;
    extern void enable_vtl2(struct shared_registers *);
    vtl_vp(0, 1)->entered = enable_vtl2;
    vtl_call(0, 0, 0); /* VTL1 enables VTL2 */
    vtl_vp(0, 1)->entered = vtl1;
    log_size = 0;

    vtl_call(3, 0, 0);
    expect("a call through two levels", "\1\2", 2);
    vtl_call(1, 0, 0);
    wait();
    expect("an interrupt for VTL1", "\1\1\x11", 3);
    vtl_call(2, 0, 0);
    wait();
    expect("an interrupt for VTL2", "\1\2\2\x12", 4);
    vtl_call(4, 0, 0);
    expect("an interrupt for VTL2 in VTL1", "\1\2\2\x12\x09", 5);
    return check_report("vsm_three");
}

void enable_vtl2(struct shared_registers *r)
{
    (void)r;
    vsm_enable(2, vtl2);
    vtl_call(0, 0, 0); /* its first entry */
}
