/*
 * Timer interrupts: the PIT through IRQ 0 of the PIC, then the local APIC timer, one-shot and periodic. HLT is
 * what waits, so an interrupt that does not wake it hangs the guest.
 */
#include "sdk.h"

#define PIC_BASE 0x20
#define TIMER_VECTOR 0x40

static volatile unsigned pit_ticks, apic_ticks;
static volatile reg_t woken_ip;

static void on_pit(struct trap_frame *f)
{
    woken_ip = f->ip;
    pit_ticks++;
    pic_eoi(0);
}

static void on_apic(struct trap_frame *f)
{
    woken_ip = f->ip;
    apic_ticks++;
    apic_eoi();
}

static void pit(void)
{
    printf("PIT: rate generator at 1 kHz through IRQ 0\n");
    pic_init(PIC_BASE);
    set_handler(PIC_BASE, on_pit);
    outb(PIC1, 0x0A); /* OCW3: the next read is the IRR */
    CHECK(inb(PIC1 + 1) == 0xFF, "the PIC's mask reads 0x%x", inb(PIC1 + 1));
    pit_start(2, PIT_HZ / 1000);
    while (!(inb(PIC1) & 1)) /* masked, but the request is latched */
        ;
    CHECK(pit_ticks == 0, "a masked IRQ 0 was delivered");
    u64 start = rdtsc();
    pic_mask(0xFFFE);
    asm volatile("sti; hlt; woken: cli" : : : "memory");
    CHECK(pit_ticks >= 1, "HLT ended without an interrupt");
    unsigned before = pit_ticks;
    asm volatile("sti; hlt; woken_again: cli" : : : "memory");
    CHECK(pit_ticks > before, "the second HLT ended without an interrupt");
    CHECK(woken_ip == LABEL(woken_again), "HLT's saved RIP is 0x%lx, not the next instruction", woken_ip);
    while (pit_ticks < 10) {
        sti_hlt();
        cli();
    }
    u64 ten = rdtsc() - start;
    CHECK(ten > 0, "the TSC stood still");
    printf("  10 ticks, %llu TSC ticks\n", ten);

    before = pit_ticks;
    while (!(inb(PIC1) & 1))
        ;
    CHECK(pit_ticks == before, "an interrupt came while IF = 0");
    u16 a = pit_read(), limit = PIT_HZ / 1000;
    CHECK(a <= limit, "counter 0 reads %u, above its reload value %u", a, limit);

    printf("PIT: one-shot (mode 0)\n");
    pit_start(0, 2000);
    pic_mask(0xFFFF);
    pic_init(PIC_BASE); /* ICW1 forgets the edge that is latched */
    pit_start(0, 2000);
    pic_mask(0xFFFE);
    before = pit_ticks;
    sti_hlt();
    cli();
    CHECK(pit_ticks == before + 1, "%u interrupts of one shot", pit_ticks - before);
    for (u64 shot = rdtsc(); rdtsc() - shot < ten / 4;)
        ;
    sti();
    asm volatile("nop");
    cli();
    CHECK(pit_ticks == before + 1, "the one-shot came again");
    pic_mask(0xFFFF);
}

static void apic(void)
{
    printf("local APIC %u, version 0x%x\n", apic_read(APIC_ID) >> 24, apic_read(APIC_VERSION) & 0xFF);
    CHECK(rdmsr(MSR_APIC_BASE) & 1u << 11, "IA32_APIC_BASE.EN is clear");
    apic_enable();
    set_handler(TIMER_VECTOR, on_apic);

    printf("APIC timer: one-shot\n");
    apic_timer(TIMER_VECTOR, 0, 100000);
    CHECK(apic_read(APIC_TIMER_CURRENT) <= 100000, "current count 0x%x", apic_read(APIC_TIMER_CURRENT));
    sti_hlt();
    cli();
    CHECK(apic_ticks == 1, "%u interrupts of one shot", apic_ticks);
    CHECK(apic_read(APIC_TIMER_CURRENT) == 0, "current count 0x%x after the shot", apic_read(APIC_TIMER_CURRENT));

    printf("APIC timer: periodic\n");
    apic_timer(TIMER_VECTOR, LVT_PERIODIC, 100000);
    u64 start = rdtsc();
    while (apic_ticks < 11) {
        sti_hlt();
        cli();
    }
    printf("  10 ticks, %llu TSC ticks\n", rdtsc() - start);

    printf("APIC timer: masked, and held back by TPR\n");
    apic_timer(TIMER_VECTOR, 0, 0);
    sti();
    asm volatile("nop");
    cli();
    apic_ticks = 0;
    apic_timer(TIMER_VECTOR, LVT_MASKED, 1000);
    while (apic_read(APIC_TIMER_CURRENT))
        ;
    sti();
    asm volatile("nop");
    cli();
    CHECK(apic_ticks == 0, "a masked timer interrupted");
    write_cr8(TIMER_VECTOR >> 4);
    CHECK(apic_read(APIC_TPR) == (TIMER_VECTOR & 0xF0), "TPR 0x%x after CR8", apic_read(APIC_TPR));
    apic_timer(TIMER_VECTOR, 0, 1000);
    while (!(apic_read(APIC_IRR + TIMER_VECTOR / 32 * 16) & 1u << TIMER_VECTOR % 32))
        ;
    sti();
    asm volatile("nop");
    cli();
    CHECK(apic_ticks == 0, "an interrupt of the TPR's class was taken");
    write_cr8(0);
    sti();
    asm volatile("nop");
    cli();
    CHECK(apic_ticks == 1, "lowering CR8 did not let the interrupt in");
}

int main(void)
{
    trap_init();
    pit();
    apic();
    return check_report("timer");
}
