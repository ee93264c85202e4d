/* A test of one's own in C: make -C firmware MY=firmware/examples/count_primes.c */
#include "sdk.h"

int main(void)
{
    static u8 composite[10000];
    unsigned primes = 0;
    for (unsigned i = 2; i < sizeof composite; i++) {
        if (composite[i])
            continue;
        primes++;
        for (unsigned j = 2 * i; j < sizeof composite; j += i)
            composite[j] = 1;
    }
    printf("%u primes below %u\n", primes, (unsigned)sizeof composite);
    CHECK(primes == 1229, "there are 1229 primes below 10000");

    trap_init();
    probe_init();
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "UD2");
    return check_report("count_primes");
}
