/* 4-level paging with pages of 4 KiB, 2 MiB and 1 GiB, NX, SMEP and SMAP (SDM vol. 3 §4.5, §4.6). */
#include "types.h"
typedef u64 pte_t;
#define LEVELS 4
#define RIGHTS_LEVELS 4
#define VIRTUAL 0x8000000000ull
#include "paging_levels.h"

extern u64 boot_pml4[], boot_pd[];
static u64 pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096);

static void no_execute_off(void)
{
    printf("EFER.NXE = 0\n");
    restore();
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
    leaf[0] |= PTE_NX;
    write_cr3(read_cr3());
    expect(false, READ, PF_P | PF_RSVD, "bit 63 is reserved", 0);
    restore();
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
}

/* The image's own pages must be supervisor pages while these are on: no ring 3 here. */
static void supervisor_protection(void)
{
    u32 features = CPUID_REG(7, 0, ebx);
    restore();
    boot_pd[0] &= ~4ull;
    write_cr3(read_cr3());
    if (features & 1u << 7) {
        printf("SMEP\n");
        write_cr4(read_cr4() | CR4_SMEP);
        expect(false, READ, NO_FAULT, "SMEP", 0);
        expect(false, FETCH, PF_P | PF_I, "SMEP: user page", 0);
        *entry[2] &= ~(pte_t)PTE_US;
        flush();
        expect(false, FETCH, NO_FAULT, "SMEP: supervisor page by one level", 0);
        write_cr4(read_cr4() & ~(reg_t)CR4_SMEP);
        restore();
    }
    if (features & 1u << 20) {
        printf("SMAP\n");
        write_cr4(read_cr4() | CR4_SMAP);
        expect(false, READ, PF_P, "SMAP: user page", 0);
        expect(false, WRITE, PF_P | PF_W, "SMAP: user page", 0);
        expect(false, FETCH, NO_FAULT, "SMAP does not concern fetches", 0);
        asm volatile("stac" : : : "memory", "cc");
        PROBE("movb (%0), %%al", : "r"(VIRTUAL) : "rax");
        asm volatile("clac" : : : "memory", "cc");
        CHECK_NO_TRAP("SMAP with RFLAGS.AC = 1");
        write_cr4(read_cr4() & ~(reg_t)CR4_SMAP);
    }
    boot_pd[0] |= 4;
    write_cr3(read_cr3());
}

int main(void)
{
    trap_init();
    probe_init();
    boot_pml4[1] = (reg_t)pdpt | ALL;
    pdpt[0] = (reg_t)pd | ALL;
    pd[0] = (reg_t)leaf | ALL;
    entry[3] = &boot_pml4[1];
    entry[2] = &pdpt[0];
    entry[1] = &pd[0];
    nx = CPUID_REG(0x80000001, 0, edx) & 1u << 20;
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    test_all(2u << 20);
    if (CPUID_REG(0x80000001, 0, edx) & 1u << 26)
        test_large(2, 1u << 30);
    else
        printf("no pages of 1 GiB: CPUID 0x80000001:EDX.26 is 0\n");
    *entry[3] |= PTE_PS;
    flush();
    expect(false, READ, PF_P | PF_RSVD, "PS is reserved in a PML4 entry", 3);
    no_execute_off();
    supervisor_protection();
    return check_report("paging64");
}
