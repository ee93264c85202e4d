/* A plane that sleeps stays asleep while a more privileged one handles an interrupt, and its own wakes it. */
#include "planes.h"

#define VECTOR 0x60
#define ROUNDS 20

static volatile u64 visits, early;
static unsigned upper; /* the plane that takes interrupts while the other sleeps */

static void on_timer(struct trap_frame *f)
{
    (void)f;
    self()->ticks++;
    apic_eoi();
}

/* One round of the plane that sleeps: until its own timer has come, whatever happens above it. */
static void sleep_once(void)
{
    u64 before = self()->ticks, seen = planes[upper].ticks;
    apic_timer(VECTOR, 0, 5000);
    sti_hlt();
    cli();
    early += self()->ticks != before + 1;
    CHECK(planes[upper].ticks > seen, "the other plane's interrupt came first");
}

static void visit(void)
{
    visits++;
    apic_timer(VECTOR, 0, 2000);
}

/* With levels: plane 1 is entered by its interrupt and goes back to a plane that is still halted. */
static void above(void)
{
    apic_enable();
    visit();
    for (;;) {
        plane_return();
        take_interrupts();
        visit();
    }
}

/* With names: the chief runs the sleeper again after each of its own interrupts. */
static void sleeper(void)
{
    apic_enable();
    for (unsigned i = 0; i < ROUNDS; i++)
        sleep_once();
    plane_run(upper);
}

static int report(unsigned lower)
{
    CHECK(planes[lower].ticks == ROUNDS, "%llu wake-ups", planes[lower].ticks);
    CHECK(!early, "%llu early wake-ups", early);
    CHECK(planes[upper].ticks >= ROUNDS, "%llu interrupts above", planes[upper].ticks);
    printf("halted_lower: %llu wake-ups, %llu visits\n", planes[lower].ticks, visits);
    return check_report("halted_lower");
}

static void chief(void)
{
    unsigned lower = !upper;
    apic_enable();
    while (planes[lower].ticks < ROUNDS) {
        visit();
        sti(); /* an interrupt of this plane brings it back */
        s64 result = plane_run(lower);
        cli();
        CHECK(result == 0 || result == -EAGAIN, "RUN_PLANE(%u): %lld", lower, result);
    }
    exit(report(lower));
}

int main(void)
{
    planes_open("halted_lower", 2);
    set_handler(VECTOR, on_timer);
    if (rules.how & ASK_CALL) {
        upper = 1;
        CHECK(plane_create(1, above) == 0, "plane 1");
        plane_call();
        apic_enable();
        for (unsigned i = 0; i < ROUNDS; i++)
            sleep_once();
        return report(0);
    }
    upper = rules.marker ? rules.marker - 1 : 0;
    CHECK(plane_create(1, upper ? chief : sleeper) == 0, "plane 1");
    if (!upper)
        chief();
    plane_run(upper); /* to its first visit */
    sleeper();
    return EXIT_FAIL;
}
