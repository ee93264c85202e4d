/* The smallest long-mode guest: a line on the serial port and an exit. */
#include "sdk.h"

int main(void)
{
    printf("Hello from long mode: CR0 %llx CR3 %llx CR4 %llx EFER %llx\n", (u64)read_cr0(), (u64)read_cr3(),
           (u64)read_cr4(), rdmsr(MSR_EFER));
    CHECK(rdmsr(MSR_EFER) & EFER_LMA, "EFER.LMA is clear");
    return check_report("hello");
}
