/* IPIs: through the APIC they stay in the sender's VTL; VTL1 may send synthetic ones to VTL0. Two processors. */
#include "rt.h"

#define VECTOR 0x60

static volatile unsigned taken[2][VTLS], ready, stop;

static void on_ipi(struct trap_frame *f)
{
    (void)f;
    taken[self()->vp][self()->vtl]++;
    wrmsr(HV_MSR_EOI, 0);
}

static void wait_for(volatile unsigned *count, unsigned value)
{
    for (u64 spins = 0; *count < value && spins < 20000000; spins++)
        asm volatile("pause");
}

static u64 synthetic(u64 vps, u8 input_vtl)
{
    struct hv_send_ipi in = {VECTOR, input_vtl, {0}, vps};
    return hv_status(HV_CALL_SEND_IPI, &in, sizeof in);
}

static void vtl1(struct shared_registers *r)
{
    if (!r)
        return;
    if (self()->vp == 1) { /* preempted: take it */
        sti();
        asm volatile("nop");
        cli();
        return;
    }
    switch (r->rdi) {
    case 1: /* to VTL1 of VP 1 */
        wrmsr(HV_MSR_ICR, 1ull << 56 | VECTOR);
        break;
    case 2: /* to VTL0 of both */
        r->rdi = synthetic(3, HV_TARGET_VTL(0));
        break;
    case 3: /* to VTL1 of VP 1 */
        r->rdi = synthetic(2, 0);
        break;
    case 4:
        r->rdi = vsm_enable_on(1, 1, vtl1);
        break;
    }
}

static void vp1(void)
{
    vtl_call(0, 0, 0); /* VTL1 sets itself up */
    sti();
    ready = 1;
    while (!stop)
        asm volatile("pause");
    cli();
    ready = 2;
}

int main(void)
{
    vsm_open("vsm_ipi", 1);
    set_handler(VECTOR, on_ipi);
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    if (cpuid(0x40000005, 0).eax < 2) {
        printf("vsm_ipi: skipped: needs two processors (--vcpus 2)\n");
        exit(EXIT_SKIP);
    }
    CHECK(vtl_call(4, 0, 0) == 0, "VTL1 enables itself on VP 1");
    CHECK(vsm_start(1, vp1) == 0, "StartVirtualProcessor");
    wait_for(&ready, 1);
    sti();
    wrmsr(HV_MSR_ICR, 1ull << 56 | VECTOR);
    wait_for(&taken[1][0], 1);
    CHECK(taken[1][0] == 1 && taken[1][1] == 0, "VTL0's IPI: %u %u", taken[1][0], taken[1][1]);
    vtl_call(1, 0, 0);
    wait_for(&taken[1][1], 1);
    CHECK(taken[1][0] == 1 && taken[1][1] == 1, "VTL1's IPI: %u %u", taken[1][0], taken[1][1]);
    CHECK(vtl_call(2, 0, 0) == 0, "a synthetic IPI from VTL1 to VTL0");
    wait_for(&taken[1][0], 2);
    wait_for(&taken[0][0], 1);
    CHECK(taken[1][0] == 2 && taken[0][0] == 1, "VTL1's IPI to VTL0: %u %u", taken[1][0], taken[0][0]);
    CHECK(vtl_call(3, 0, 0) == 0, "a synthetic IPI within VTL1");
    wait_for(&taken[1][1], 2);
    CHECK(taken[1][1] == 2, "VTL1 took %u", taken[1][1]);
    u64 status = synthetic(2, HV_TARGET_VTL(1));
    CHECK(status == HV_STATUS_ACCESS_DENIED, "VTL0 to VTL1: 0x%llx", status);
    stop = 1;
    wait_for(&ready, 2);
    return check_report("vsm_ipi");
}
