/* Starting processors: VTL1 enables itself on each, VTL0 may not after DenyLowerVtlStartup, each starts in VTL1. */
#include "rt.h"

static volatile unsigned vtl1_up, vtl0_up, order_kept;

static void vtl1(struct shared_registers *r)
{
    u32 vp = self()->vp, count = cpuid(0x40000005, 0).eax;
    if (!r) {
        CHECK(vp == rdmsr(0x40000002), "VP_INDEX");
        if (vp == 0)
            hv_set(HV_REG_VSM_PARTITION_CONFIG, 0, 0x3E | HV_CONFIG_DENY_STARTUP);
        if (!vp || vtl0_up == vp - 1)
            order_kept++; /* VTL0 of this processor has not run yet */
        vtl1_up++;
        return;
    }
    if (r->rdi == 1) {
        for (u32 i = 1; i < count; i++)
            r->rsi += vsm_enable_on(i, 1, vtl1);
        r->rsi += vsm_enable_on(1, 1, vtl1) == 0; /* twice */
    } else if (r->rdi == 2)
        r->rsi = vsm_start(r->rdx, (void (*)(void))r->rsi);
    r->rdi = r->rsi;
}

static void vp_main(void)
{
    u64 status = hv_get(HV_REG_VSM_VP_STATUS, 0);
    CHECK(status >> 16 == 3 && (status & 0xF) == 0, "VsmVpStatus 0x%llx", status);
    u64 before = self()->entries;
    vtl_call(0, 0, 0);
    CHECK(self()->entries == before, "a VTL call");
    vtl0_up++;
}

int main(void)
{
    vsm_open("vsm_smp", 1);
    u32 count = cpuid(0x40000005, 0).eax;
    if (count < 2 || count > VPS) {
        printf("vsm_smp: skipped: needs 2 to %u processors (--vcpus 2)\n", VPS);
        exit(EXIT_SKIP);
    }
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    CHECK(vsm_enable_on(1, 1, vtl1) == HV_STATUS_ACCESS_DENIED, "VTL0 enables VTL1 elsewhere");
    CHECK(vtl_call(1, 0, 0) == 0, "VTL1 enables itself on every processor");
    CHECK(vsm_start(1, vp_main) == HV_STATUS_ACCESS_DENIED, "VTL0 starts a processor that VTL1 denies it");
    for (u32 vp = 1; vp < count; vp++) {
        u64 status = vtl_call(2, (reg_t)vp_main, vp);
        CHECK(status == 0, "VTL1 starts VP %u: 0x%llx", vp, status);
        for (u64 spins = 0; vtl0_up < vp && spins < 20000000; spins++)
            asm volatile("pause");
        CHECK(vtl0_up == vp && vtl1_up == vp + 1, "VP %u: VTL0 %u VTL1 %u", vp, vtl0_up, vtl1_up);
        CHECK(vtl_call(2, (reg_t)vp_main, vp) == 0x15, "VP %u started twice", vp);
    }
    CHECK(order_kept == count, "VTL0 ran before VTL1");
    return check_report("vsm_smp");
}
