/*
 * A storm of timer interrupts on three planes. Whatever the policy, each plane gets all of its own; where planes have
 * levels, none is interrupted by one below it, and who was interrupted finds everything as it was.
 */
#include "planes.h"

#define LEVELS 3
#define TICKS 100
#define VECTOR 0x50

static const u32 period[LEVELS] = {1009, 1511, 2003};
static volatile u64 nested, inversions, lost;
static volatile int inside[LEVELS];

static void arm(unsigned level) { apic_timer(VECTOR + level, 0, period[level]); }

static void on_timer(struct trap_frame *f)
{
    unsigned level = self()->number;
    lost += f->vector != VECTOR + level;
    for (unsigned i = 0; i < LEVELS; i++)
        if (inside[i]) {
            nested++;
            inversions += i > level;
        }
    inside[level] = 1;
    for (u64 i = 0; i < 40; i++)
        barrier();
    inside[level] = 0;
    if (++self()->ticks < TICKS)
        arm(level);
    apic_eoi();
}

static bool done(void)
{
    return planes[0].ticks >= TICKS && planes[1].ticks >= TICKS && planes[2].ticks >= TICKS;
}

static void begin(void)
{
    apic_enable();
    arm(self()->number);
}

/* Work with interrupts on that would show a lost register. */
static void work(unsigned turns)
{
    u64 a = 1, b = 2, c = 3;
    sti();
    for (unsigned i = 0; i < turns; i++)
        asm volatile("addq $3, %0; leaq (%1,%0), %1; xorq %1, %2" : "+r"(a), "+r"(b), "+r"(c));
    cli();
    u64 x = 1, y = 2, z = 3;
    for (unsigned i = 0; i < turns; i++) {
        x += 3;
        y += x;
        z ^= y;
    }
    CHECK(a == x && b == y && c == z, "plane %llu: registers after %u turns", self()->number, turns);
}

static int report(void)
{
    for (unsigned i = 0; i < LEVELS; i++)
        CHECK(planes[i].ticks == TICKS, "plane %u: %llu interrupts", i, planes[i].ticks);
    CHECK(!lost, "%llu interrupts in a plane that they are not for", lost);
    if (rules.how & ASK_CALL)
        CHECK(!inversions, "%llu interrupts of a lower plane in a higher one", inversions);
    printf("three_levels: %llu of %u handlers in another plane's\n", nested, LEVELS * TICKS);
    return check_report("three_levels");
}

/* --- planes with levels: the lowest works, those above come when they have something to do ------------------------ */

static void level(void)
{
    begin();
    if (self()->number + 1 < LEVELS)
        plane_call(); /* let the next one begin, too */
    for (;;) {
        plane_return();
        take_interrupts();
    }
}

/* --- planes that are named: one of them names the others in turn, and those that it is told of first --------------- */

static unsigned chief(void) { return rules.marker ? rules.marker - 1 : 0; }

static void schedule(void)
{
    begin();
    for (unsigned next = 0; !done(); next++) {
        s64 told = plane_notices();
        unsigned target = next % LEVELS;
        for (unsigned i = 0; told > 0 && i < LEVELS; i++)
            if (told >> i & 1)
                target = i;
        if (target != self()->number) {
            sti(); /* an interrupt of this plane brings it back */
            s64 result = plane_run(target);
            cli();
            CHECK(result == 0 || result == -EAGAIN, "RUN_PLANE(%u): %lld", target, result);
        }
        take_interrupts();
    }
    exit(report());
}

static void worker(void)
{
    begin();
    for (;;) {
        work(100);
        plane_run(chief());
    }
}

int main(void)
{
    planes_open("three_levels", LEVELS);
    for (unsigned i = 0; i < LEVELS; i++)
        set_handler(VECTOR + i, on_timer);
    if (rules.how & ASK_CALL) {
        for (unsigned i = 1; i < LEVELS; i++)
            CHECK(plane_create(i, level) == 0, "plane %u", i);
        plane_call();
        begin();
        while (!done())
            work(100);
        return report();
    }
    for (unsigned i = 1; i < LEVELS; i++)
        CHECK(plane_create(i, i == chief() ? schedule : worker) == 0, "plane %u", i);
    if (chief() == 0)
        schedule();
    worker();
    return EXIT_FAIL;
}
