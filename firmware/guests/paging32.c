/* 32-bit paging with 4 KiB and 4 MiB pages (SDM vol. 3 §4.3). */
#include "types.h"
typedef u32 pte_t;
#define LEVELS 2
#define RIGHTS_LEVELS 2
#define VIRTUAL 0xC0000000u
#include "paging_levels.h"

static u32 directory[1024] ALIGNED(4096);

int main(void)
{
    trap_init();
    probe_init();
    for (u32 i = 0; i < 16; i++)
        directory[i] = i << 22 | ALL | PTE_PS;
    directory[VIRTUAL >> 22] = (reg_t)leaf | ALL;
    entry[1] = &directory[VIRTUAL >> 22];
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((reg_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    test_all(4u << 20);
    write_cr0(read_cr0() & ~(reg_t)CR0_PG);
    return check_report("paging32");
}
