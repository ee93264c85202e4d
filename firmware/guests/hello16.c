/* The smallest real-mode guest. */
#include "sdk.h"

int main(void)
{
    printf("Hello from real mode: CS %x SS %x CR0 %lx\n", read_cs(), read_ss(), (unsigned long)read_cr0());
    CHECK(!(read_cr0() & CR0_PE), "CR0.PE is set");
    CHECK(read_cs() == 0 && read_ss() == 0, "segments %x %x", read_cs(), read_ss());
    return check_report("hello16");
}
