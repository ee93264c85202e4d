/* Timers per VTL: VTL1's interrupts VTL0 on time, VTL0's waits while VTL1 runs; APIC and synthetic ones, and idling. */
#include "rt.h"

#define VECTOR 0x62
#define TICKS 50 /* of 100 ns */

static volatile u64 fired[VTLS];
static volatile unsigned count[VTLS];
static bool linger;

static void on_timer(struct trap_frame *f)
{
    (void)f;
    unsigned vtl = self()->vtl;
    fired[vtl] = rdmsr(HV_MSR_TIME_REF_COUNT);
    count[vtl]++;
    struct hv_message *m = message(1);
    if (m) {
        CHECK(m->type == HV_MESSAGE_TIMER, "message 0x%x", m->type);
        message_done(1);
    }
    wrmsr(HV_MSR_EOI, 0);
}

enum { LVT, MESSAGE, DIRECT, KINDS };

static void arm(int kind, u64 ticks)
{
    switch (kind) {
    case LVT:
        apic_timer(VECTOR, 0, ticks * 100);
        break;
    case MESSAGE:
        wrmsr(HV_MSR_SINT0 + 1, VECTOR);
        wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | 1ull << 16);
        wrmsr(HV_MSR_STIMER0_COUNT, rdmsr(HV_MSR_TIME_REF_COUNT) + ticks);
        break;
    case DIRECT:
        wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | HV_STIMER_DIRECT | (u64)VECTOR << 4);
        wrmsr(HV_MSR_STIMER0_COUNT, rdmsr(HV_MSR_TIME_REF_COUNT) + ticks);
    }
}

static void vtl1(struct shared_registers *r)
{
    if (!r)
        return;
    if (self()->assist->entry_reason == HV_ENTRY_INTERRUPT) {
        sti();
        asm volatile("nop");
        if (linger) /* until VTL0's must have expired */
            for (u64 end = rdmsr(HV_MSR_TIME_REF_COUNT) + 3 * TICKS; rdmsr(HV_MSR_TIME_REF_COUNT) < end;)
                asm volatile("pause");
        cli();
    } else
        arm(r->rdi, TICKS);
}

int main(void)
{
    vsm_open("vsm_timer", 1);
    set_handler(VECTOR, on_timer);
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    for (int kind = 0; kind < KINDS; kind++)
        for (int turn = 0; turn < 2; turn++) {
            linger = turn;
            count[0] = count[1] = 0;
            sti();
            vtl_call(kind, 0, 0);
            arm(kind, 2 * TICKS);
            while (!count[0])
                sti_hlt(); /* VTL1's interrupts this halt, and VTL0 stays halted */
            cli();
            CHECK(count[0] == 1 && count[1] == 1, "kind %d: VTL0 %u VTL1 %u", kind, count[0], count[1]);
            CHECK(fired[1] < fired[0], "kind %d: VTL1 at %llu, VTL0 at %llu", kind, fired[1], fired[0]);
            if (linger)
                CHECK(fired[0] - fired[1] >= 3 * TICKS, "kind %d: VTL0's came while VTL1 ran", kind);
        }
    return check_report("vsm_timer");
}
