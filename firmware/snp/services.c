/* A guest at VMPL2 that uses every service of its SVSM, rightly and wrongly. */
#include "services.h"

static u8 page[PAGE] ALIGNED(4096), second[PAGE] ALIGNED(4096);
static u64 list_words[512] ALIGNED(4096);
static struct page_list *const list = (struct page_list *)list_words;

u64 core(u32 call, u64 rcx, u64 rdx, u64 r8)
{
    struct svsm_call c = {rcx, rdx, r8, 0};
    return svsm_call(SVSM_CORE, call, &c);
}

static u64 listed(u32 call, u16 count, u16 next, u64 entry)
{
    list->count = count;
    list->next = next;
    list->reserved = 0;
    list->entry[0] = entry;
    return core(call, (reg_t)list, 0, 0);
}

static void who(void)
{
    CHECK(my_vmpl() == 2, "the secrets page says VMPL%u", my_vmpl());
    CHECK(rmpadjust((reg_t)page, false, 1) == SNP_FAIL_PERMISSION, "RMPADJUST of VMPL1 is VMPL0's");
    u64 keys = 0;
    for (unsigned i = 0; i < sizeof snp_secrets_page.vmpck; i++)
        if (snp_secrets_page.vmpck[i / 32][i % 32])
            keys |= 1u << i / 32;
    CHECK(keys == 0xC, "keys of VMPL2 and VMPL3 alone: 0x%llx", keys);
    CHECK(cpuid(0x8000001F, 0).eax >> 28 & 1, "CPUID tells of the SVSM");
}

static void protocols(void)
{
    struct svsm_call c = {.rcx = 1};
    u64 rc = svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c);
    CHECK(rc == SVSM_SUCCESS && c.rcx == (1ull << 32 | 1), "protocol 0: 0x%llx", c.rcx);
    for (u64 p = 1; p < 5; p++) {
        c.rcx = p << 32 | 1;
        svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c);
        CHECK((c.rcx != 0) == (p < SVSM_APIC || (p == SVSM_APIC && svsm_interrupts())), "protocol %llu: 0x%llx", p, c.rcx);
    }
    c.rcx = 2;
    CHECK(svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c) == SVSM_SUCCESS && !c.rcx, "no version 2 of it");
    CHECK(svsm_call(9, 0, &c) == SVSM_UNSUPPORTED_PROTOCOL, "there is no protocol 9");
    CHECK(core(8, 0, 0, 0) == SVSM_UNSUPPORTED_CALL, "there is no call 8");
    CHECK(core(CORE_CONFIGURE_VTOM, 1, 0, 0) == SVSM_SUCCESS, "vTOM can be asked for");
    CHECK(core(CORE_CONFIGURE_VTOM, 0, 0, 0) == SVSM_INVALID_REQUEST, "but not set");
}

static void memory(void)
{
    u64 rescind = (reg_t)page, accept = rescind | ENTRY_VALIDATE;
    page[0] = 0x77;
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept) == SVSM_SNP_ERROR(SNP_UNCHANGED), "accepting a page twice");
    CHECK(page[0] == 0x77, "leaves it alone");
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept | ENTRY_IGNORE_CF) == SVSM_SUCCESS && list->next == 1 && page[0] == 0x77,
          "twice on purpose");
    CHECK(listed(CORE_PVALIDATE, 1, 0, rescind) == SVSM_SUCCESS, "rescinding a page");
    PROBE("movb (%0), %%al", : "r"(page) : "rax", "memory");
    CHECK_FAULT(V_VC, VC_NOT_VALIDATED, "a load from it");
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept) == SVSM_SUCCESS && page[0] == 0, "accepted, it is empty");
    CHECK(make_shared(page), "a page becomes shared");
    *(volatile u8 *)shared(page) = 0x44;
    CHECK(make_private(page) && page[0] == 0, "and private");
    CHECK(listed(CORE_PVALIDATE, 0, 0, accept) == SVSM_INVALID_PARAMETER, "an empty list");
    CHECK(listed(CORE_PVALIDATE, 512, 0, accept) == SVSM_INVALID_PARAMETER, "a list beyond its page");
    CHECK(listed(CORE_PVALIDATE, 1, 1, accept) == SVSM_INVALID_PARAMETER, "a list that is done");
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept | 2) == SVSM_INVALID_PARAMETER, "a size that is none");
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept | 1) == SVSM_INVALID_PARAMETER, "a large page that is not aligned");
    CHECK(listed(CORE_PVALIDATE, 1, 0, accept | 0x10) == SVSM_INVALID_PARAMETER, "reserved bits");
    CHECK(listed(CORE_PVALIDATE, 1, 0, 0x1000000 | ENTRY_VALIDATE) == SVSM_INVALID_ADDRESS, "the SVSM's memory");
    CHECK(listed(CORE_PVALIDATE, 1, 0, 1ull << 45 | ENTRY_VALIDATE) == SVSM_INVALID_ADDRESS, "no memory");
    CHECK(core(CORE_PVALIDATE, (reg_t)list + 4, 0, 0) == SVSM_INVALID_PARAMETER, "a list that is not aligned");
    CHECK(core(CORE_PVALIDATE, 0x1000000, 0, 0) == SVSM_INVALID_ADDRESS, "a list in the SVSM's memory");
}

static void calling_areas(void)
{
    CHECK(core(CORE_REMAP_CA, (reg_t)second + 8, 0, 0) == SVSM_INVALID_PARAMETER, "a calling area that is not aligned");
    CHECK(core(CORE_REMAP_CA, 0x1000000, 0, 0) == SVSM_INVALID_ADDRESS, "one in the SVSM's memory");
    CHECK(core(CORE_REMAP_CA, (reg_t)&snp_calling_area, 0, 0) == SVSM_SUCCESS, "the same one again");
    memset(second, 0xFF, 16);
    CHECK(core(CORE_REMAP_CA, (reg_t)second, 0, 0) == SVSM_SUCCESS, "another one");
    CHECK(second[1] == 0 && second[8] == 0xFF, "whose first 8 bytes are cleared");
    set_calling_area((struct calling_area *)second);
    struct svsm_call c = {.rcx = 1};
    CHECK(svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c) == SVSM_SUCCESS, "calls are read there");
    CHECK(listed(CORE_PVALIDATE, 1, 0, (reg_t)second) == SVSM_INVALID_ADDRESS, "it cannot be rescinded");
    CHECK(core(CORE_REMAP_CA, (reg_t)&snp_calling_area, 0, 0) == SVSM_SUCCESS, "back to the first");
    set_calling_area(&snp_calling_area);
}

static void donations(void)
{
    CHECK(listed(CORE_WITHDRAW_MEM, 1, 0, 0) == SVSM_SUCCESS && list->count == 0, "nothing to withdraw");
    CHECK(listed(CORE_DEPOSIT_MEM, 1, 0, (reg_t)second | 1) == SVSM_INVALID_PARAMETER, "only small pages");
    CHECK(listed(CORE_DEPOSIT_MEM, 1, 0, 0x1000000) == SVSM_INVALID_ADDRESS, "only the guest's pages");
    second[100] = 9;
    CHECK(listed(CORE_DEPOSIT_MEM, 1, 0, (reg_t)second) == SVSM_SUCCESS, "a page is deposited");
    CHECK(listed(CORE_WITHDRAW_MEM, 4, 0, 0) == SVSM_SUCCESS && list->count == 1 && list->entry[0] == (reg_t)second,
          "and withdrawn");
    CHECK(second[100] == 0, "empty");
}

static void tpm(void)
{
    struct svsm_call c = {0};
    CHECK(svsm_call(SVSM_VTPM, 0, &c) == SVSM_SUCCESS && c.rcx == 1u << 8 && c.rdx == 0, "the vTPM sends commands");
    const u8 self_test[] = {8, 0, 0, 0, 0, 11, 0, 0, 0, 0x80, 1, 0, 0, 0, 11, 0, 0, 1, 0x43, 1};
    memcpy(page, self_test, sizeof self_test);
    c.rcx = (reg_t)page;
    CHECK(svsm_call(SVSM_VTPM, 1, &c) == SVSM_SUCCESS && page[0] == 10 && page[13] == 0, "TPM2_SelfTest");
    memcpy(page, self_test, sizeof self_test);
    page[18] = 0x7B;
    CHECK(svsm_call(SVSM_VTPM, 1, &c) == SVSM_SUCCESS && page[12] == 1 && page[13] == 0x43, "a command it does not have");
    memcpy(page, self_test, sizeof self_test);
    page[4] = 1;
    CHECK(svsm_call(SVSM_VTPM, 1, &c) == SVSM_INVALID_PARAMETER, "another locality");
    CHECK(svsm_call(SVSM_VTPM, 2, &c) == SVSM_UNSUPPORTED_CALL, "there is no call 2");
}

int main(void)
{
    snp_open("snp_services");
    if (my_vmpl() == 0) {
        printf("snp_services: skipped: needs an SVSM below it\n");
        return EXIT_SKIP;
    }
    who();
    protocols();
    memory();
    calling_areas();
    donations();
    attestation();
    tpm();
    processors();
    return check_report("snp_services");
}
