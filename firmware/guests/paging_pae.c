/* PAE paging with 4 KiB and 2 MiB pages; the four PDPTEs are loaded with CR3 (SDM vol. 3 §4.4). */
#include "types.h"
typedef u64 pte_t;
#define LEVELS 3
#define RIGHTS_LEVELS 2 /* a PDPTE has neither R/W nor U/S */
#define VIRTUAL 0xC0000000u
#include "paging_levels.h"

static u64 pointers[4] ALIGNED(4096), low[512] ALIGNED(4096), high[512] ALIGNED(4096);

static void pdpte_load(void)
{
    printf("PDPTEs are read when CR3 is written\n");
    restore();
    pointers[3] = 0;
    flush();
    PROBE("movb (%0), %%al", : "r"(VIRTUAL) : "eax", "memory");
    CHECK_EXCEPT_TCG(probe_count == 0, "a PDPTE cleared in memory only was noticed"); /* TCG walks all three levels */
    write_cr3((reg_t)pointers);
    expect(false, READ, 0, "PDPTE not present", 2);
    pointers[3] = (reg_t)high | PTE_P | PTE_RW;
    PROBE("mov %0, %%cr3", : "r"(pointers) : "memory");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "CR3 := table whose PDPTE has a reserved bit");
    pointers[3] = (reg_t)high | PTE_P;
    write_cr3((reg_t)pointers);
    expect(false, READ, NO_FAULT, "PDPTE present again", 2);
}

int main(void)
{
    trap_init();
    probe_init();
    for (u64 i = 0; i < 32; i++)
        low[i] = i << 21 | ALL | PTE_PS;
    high[0] = (reg_t)leaf | ALL;
    pointers[0] = (reg_t)low | PTE_P;
    pointers[3] = (reg_t)high | PTE_P;
    entry[1] = &high[0];
    entry[2] = &pointers[3];
    nx = CPUID_REG(0x80000001, 0, edx) & 1u << 20;
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    write_cr4(read_cr4() | CR4_PAE);
    write_cr3((reg_t)pointers);
    write_cr0(read_cr0() | CR0_PG);
    test_all(2u << 20);
    pdpte_load();
    write_cr0(read_cr0() & ~(reg_t)CR0_PG);
    return check_report("paging_pae");
}
