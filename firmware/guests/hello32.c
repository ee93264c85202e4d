/* The smallest guest of 32-bit protected mode. */
#include "sdk.h"

int main(void)
{
    printf("Hello from 32-bit protected mode: CS %x SS %x CR0 %lx\n", read_cs(), read_ss(), (unsigned long)read_cr0());
    CHECK((read_cr0() & (CR0_PE | CR0_PG)) == CR0_PE, "CR0 %lx", (unsigned long)read_cr0());
    return check_report("hello32");
}
