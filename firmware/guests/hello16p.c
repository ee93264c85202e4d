/* The smallest guest of 16-bit protected mode: 16-bit segments, PE set, and one exception through the IDT. */
#include "sdk.h"

int main(void)
{
    printf("Hello from 16-bit protected mode: CS %x SS %x CR0 %lx\n", read_cs(), read_ss(), (unsigned long)read_cr0());
    CHECK((read_cr0() & (CR0_PE | CR0_PG)) == CR0_PE, "CR0 %lx", (unsigned long)read_cr0());
    trap_init();
    probe_init();
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "UD2");
    return check_report("hello16p");
}
