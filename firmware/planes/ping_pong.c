/* Two planes hand the processor to each other; each finds its own registers as it left them. */
#include "planes.h"

#define ROUNDS 1000

static volatile u64 rounds;

/* To the other plane, however this policy says so. */
static s64 other(unsigned number)
{
    if (rules.how & ASK_RUN)
        return plane_run(number);
    return number ? plane_call() : plane_return();
}

/* Registers that nothing but a switch of planes could change. */
static void mark(u64 seed)
{
    write_cr2(seed);
    wrmsr(MSR_LSTAR, seed << 4);
    wrmsr(MSR_KERNEL_GS_BASE, seed << 8);
    write_dr0(seed << 12);
}

static void check(u64 seed, u64 seed_of_other)
{
    u64 dr0 = rules.shares & SHARE_DR ? seed_of_other : seed;
    CHECK(read_cr2() == seed, "plane %llu: CR2 0x%llx", self()->number, (u64)read_cr2());
    CHECK(rdmsr(MSR_LSTAR) == seed << 4, "plane %llu: LSTAR 0x%llx", self()->number, rdmsr(MSR_LSTAR));
    CHECK(rdmsr(MSR_KERNEL_GS_BASE) == seed << 8, "plane %llu: KernelGsBase", self()->number);
    CHECK(read_dr0() == dr0 << 12, "plane %llu: DR0 0x%llx", self()->number, (u64)read_dr0());
}

static void second(void)
{
    for (u64 i = 0;; i++) {
        u64 seed = 2 * i + 1;
        mark(seed);
        rounds++;
        CHECK(other(0) == 0, "plane 1: to plane 0");
        check(seed, 2 * i + 2);
    }
}

int main(void)
{
    planes_open("ping_pong", 2);
    CHECK(plane_create(0, second) == -EINVAL, "a plane starts itself anew");
    CHECK(plane_create(1, second) == 0, "plane 1");
    u64 start = rdtsc();
    for (u64 i = 0; i < ROUNDS; i++) {
        mark(2 * i);
        CHECK(other(1) == 0, "plane 0: to plane 1");
        check(2 * i, 2 * i + 1);
    }
    u64 ticks = (rdtsc() - start) / ROUNDS;
    CHECK(rounds == ROUNDS, "%llu rounds", rounds);
    if (rules.how & ASK_RUN)
        CHECK(plane_run(3) == -EINVAL, "a plane that does not exist");
    printf("ping_pong: %llu ticks of the TSC a round trip\n", ticks);
    return check_report("ping_pong");
}
