/* A guest at VMPL2 that does what it may not. The command line says what: without a word, everything that only ends in an
 * error; with attack=NAME, one access that must never succeed. */
#include "rt.h"

#define SVSM_BASE 0x1000000ull

static u8 page[PAGE] ALIGNED(4096), area[PAGE] ALIGNED(4096);
static u64 list[2] ALIGNED(16);

static u64 core(u32 call, u64 rcx, u64 rdx, u64 r8)
{
    struct svsm_call c = {rcx, rdx, r8, 0};
    return svsm_call(SVSM_CORE, call, &c);
}

static u64 pvalidate_by_svsm(u64 entry)
{
    list[0] = 1;
    list[1] = entry;
    return core(CORE_PVALIDATE, (reg_t)list, 0, 0);
}

static void instructions(void)
{
    PROBE(".byte 0xF2, 0x0F, 0x01, 0xFF", : "a"(page), "c"(0ull), "d"(0ull) : "memory", "cc");
    CHECK_FAULT(V_GP, 0, "PVALIDATE at VMPL2");
    for (u32 vmpl = 0; vmpl < 3; vmpl++)
        CHECK(rmpadjust((reg_t)page, false, vmpl | VMPL_ALL << 8) == SNP_FAIL_PERMISSION, "RMPADJUST of VMPL%u", vmpl);
    u64 what = 3;
    CHECK(rmpadjust((reg_t)page, false, 3 | VMPL_R << 8 | RMP_VMSA) == SNP_OK, "a VMSA of its own making");
    CHECK(rmpquery((reg_t)page, &what) == SNP_OK && !(what & RMP_VMSA), "is none");
    rmpadjust((reg_t)page, false, 3);
}

/* The hypervisor may run what the guest gave it only if it is a VMSA. */
static void forged_vmsa(void)
{
    struct vmsa *v = (struct vmsa *)page;
    memset(v, 0, sizeof *v);
    v->efer = EFER_SVME;
    v->sev_features = rdmsr(MSR_SEV_STATUS) >> SEV_STATUS_FEATURES_SHIFT;
    CHECK(core(CORE_CREATE_VCPU, (reg_t)page, (reg_t)area, 0) == SVSM_INVALID_PARAMETER, "a VMSA for VMPL0, on itself");
    v->rax = 1;
    CHECK(core(CORE_CREATE_VCPU, SVSM_BASE, (reg_t)area, 0) == SVSM_INVALID_ADDRESS, "a VMSA in the SVSM");
    CHECK(core(CORE_CREATE_VCPU, (reg_t)page, SVSM_BASE, 0) == SVSM_INVALID_ADDRESS, "a calling area in the SVSM");
    CHECK(core(CORE_DELETE_VCPU, SVSM_BASE, 0, 0) == SVSM_INVALID_ADDRESS, "deleting the SVSM");
}

static void double_validation(void)
{
    page[5] = 0x55;
    CHECK(pvalidate_by_svsm((reg_t)page | ENTRY_VALIDATE) == SVSM_SNP_ERROR(SNP_UNCHANGED), "accepting a page twice");
    CHECK(page[5] == 0x55, "changes nothing");
    CHECK(pvalidate_by_svsm(SVSM_BASE | ENTRY_VALIDATE) == SVSM_INVALID_ADDRESS, "accepting the SVSM's memory");
    CHECK(pvalidate_by_svsm((SVSM_BASE - LARGE_PAGE) | ENTRY_2M) == SVSM_SUCCESS, "the page before it is the guest's");
    CHECK(pvalidate_by_svsm(SVSM_BASE | ENTRY_2M) == SVSM_INVALID_ADDRESS, "the SVSM's are not");
}

static void pointers_into_the_svsm(void)
{
    struct svsm_call c = {.rcx = SVSM_BASE};
    CHECK(core(CORE_REMAP_CA, SVSM_BASE, 0, 0) == SVSM_INVALID_ADDRESS, "a calling area");
    CHECK(core(CORE_PVALIDATE, SVSM_BASE, 0, 0) == SVSM_INVALID_ADDRESS, "a list");
    CHECK(core(CORE_DEPOSIT_MEM, SVSM_BASE, 0, 0) == SVSM_INVALID_ADDRESS, "a list of pages");
    CHECK(svsm_call(SVSM_ATTEST, 0, &c) == SVSM_INVALID_ADDRESS, "an attestation");
    c.rcx = SVSM_BASE;
    CHECK(svsm_call(SVSM_VTPM, 1, &c) == SVSM_INVALID_ADDRESS, "a TPM command");
}

int main(void)
{
    snp_open("snp_attack");
    if (my_vmpl() == 0) {
        printf("snp_attack: skipped: needs an SVSM below it\n");
        return EXIT_SKIP;
    }
    if (command_line_has("attack=read"))
        *(volatile u8 *)SVSM_BASE;
    if (command_line_has("attack=write"))
        *(volatile u8 *)SVSM_BASE = 0;
    if (command_line_has("attack=execute"))
        ((void (*)(void))SVSM_BASE)();
    if (command_line_has("attack=")) {
        printf("FAIL: the access went through\n");
        return EXIT_FAIL;
    }
    instructions();
    forged_vmsa();
    double_validation();
    pointers_into_the_svsm();
    return check_report("snp_attack");
}
