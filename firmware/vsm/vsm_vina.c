/* VINA: VTL1, which runs for long, is told once that an interrupt waits for VTL0, and returns for it. */
#include "rt.h"

#define VINA_VECTOR 0x70
#define DEVICE_VECTOR 0x61
#define NS 2000

static volatile unsigned notified, handled;

static void on_vina(struct trap_frame *f)
{
    (void)f;
    notified++;
    CHECK(self()->vtl == 1, "VINA in VTL%u", self()->vtl);
    wrmsr(HV_MSR_EOI, 0);
}

static void on_device(struct trap_frame *f)
{
    (void)f;
    handled++;
    CHECK(self()->vtl == 0, "VTL0's interrupt in VTL%u", self()->vtl);
    wrmsr(HV_MSR_EOI, 0);
}

static void spin(unsigned ns)
{
    for (u64 start = rdtsc(); rdtsc() - start < ns;)
        asm volatile("pause");
}

static void vtl1(struct shared_registers *r)
{
    struct hv_vp_assist *assist = self()->assist;
    if (!r) {
        hv_set(HV_REG_VSM_VINA, 0, 1ull << 8 | VINA_VECTOR);
        CHECK(hv_try_set(HV_VP_SELF, HV_REG_VSM_VINA, HV_TARGET_VTL(0), 0) == 5, "VINA of VTL0");
        return;
    }
    notified = 0;
    sti();
    spin(5 * NS); /* VTL0's timer expires meanwhile */
    cli();
    CHECK(notified == r->rdi, "notified %u times, not %llu", notified, r->rdi);
    CHECK((assist->vina_status & 1) == r->rdi, "VinaAsserted %u", assist->vina_status);
    CHECK(handled == 0, "VTL0's handler ran");
    assist->vina_status = 0;
}

int main(void)
{
    vsm_open("vsm_vina", 1);
    set_handler(VINA_VECTOR, on_vina);
    set_handler(DEVICE_VECTOR, on_device);
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    for (int round = 0; round < 3; round++) {
        handled = 0;
        sti();
        apic_timer(DEVICE_VECTOR, 0, NS);
        vtl_call(1, 0, 0);
        CHECK(handled == 1, "VTL0 took its interrupt %u times after the return", handled);
        cli();
        handled = 0;
        apic_timer(DEVICE_VECTOR, 0, NS);
        vtl_call(0, 0, 0); /* VTL0 would not take it: no VINA */
        CHECK(handled == 0, "an interrupt with IF = 0");
        sti();
        asm volatile("nop");
        CHECK(handled == 1, "it was lost");
    }
    return check_report("vsm_vina");
}
