/* A guest at VMPL0 without an SVSM: what it can do to its own pages, and how what is wrong shows. */
#include "rt.h"

static u8 page[PAGE] ALIGNED(4096), other[PAGE] ALIGNED(4096);

static void states(void)
{
    CHECK(pvalidate((reg_t)page, false, true) == SNP_UNCHANGED, "launched pages are validated");
    CHECK(pvalidate((reg_t)page, false, false) == SNP_OK, "rescinding a page");
    CHECK(pvalidate((reg_t)page, false, false) == SNP_UNCHANGED, "rescinding it twice");
    PROBE("movb (%0), %%al", : "r"(page) : "rax", "memory");
    CHECK_FAULT(V_VC, VC_NOT_VALIDATED, "a load from it");
    CHECK(probe_frame.cr2 == (reg_t)page, "CR2 0x%llx", probe_frame.cr2);
    PROBE("movb $1, (%0)", : "r"(page) : "memory");
    CHECK_FAULT(V_VC, VC_NOT_VALIDATED, "a store to it");
    PROBE(".byte 0xF3, 0x0F, 0x01, 0xFE", : "a"(page), "c"(0ull), "d"(0x102ull) : "memory", "cc");
    CHECK_FAULT(V_VC, VC_NOT_VALIDATED, "RMPADJUST of it");
    CHECK(pvalidate((reg_t)page, false, true) == SNP_OK, "accepting it again");
    page[0] = 1;
    CHECK(pvalidate(0x1000, true, true) == SNP_FAIL_INPUT, "a large page that is not aligned");
    CHECK(pvalidate((reg_t)page & -LARGE_PAGE, true, true) == SNP_FAIL_SIZE, "a large page of small ones");
}

static void permissions(void)
{
    u64 what = 1;
    CHECK(rmpadjust((reg_t)other, false, 0) == SNP_FAIL_PERMISSION, "RMPADJUST of VMPL0");
    CHECK(rmpadjust((reg_t)other, false, 1 | (VMPL_R | VMPL_W) << 8) == SNP_OK, "RMPADJUST of VMPL1");
    CHECK(rmpquery((reg_t)other, &what) == SNP_OK && (what >> 8 & 0xFF) == (VMPL_R | VMPL_W), "RMPQUERY");
    what = 3;
    CHECK(rmpquery((reg_t)other, &what) == SNP_OK && (what >> 8 & 0xFF) == 0, "VMPL3 has nothing");
    CHECK(rmpadjust((reg_t)other, false, 1) == SNP_OK, "taking it back");
}

static void pages_change(void)
{
    volatile u8 *seen = shared(page);
    page[0] = 0x5A;
    CHECK(make_shared(page), "a page becomes shared");
    *seen = 0x33;
    CHECK(*seen == 0x33, "a shared page can be written");
    CHECK(make_private(page), "a page becomes private");
    memset(page, 0, PAGE);
    page[1] = 7;
    CHECK(page[0] == 0 && page[1] == 7, "and can be used");
    page_state_change((reg_t)page, 1, false, PSC_PRIVATE);
    PROBE("movb (%0), %%al", : "r"(page) : "rax", "memory");
    CHECK_FAULT(V_VC, VC_NOT_VALIDATED, "a page that the hypervisor assigned anew");
    CHECK(pvalidate((reg_t)page, false, true) == SNP_OK, "which can be accepted");
}

static u32 ring3_vector;

static void ring3(void) { PROBE(".byte 0xF2, 0x0F, 0x01, 0xFF", : "a"(page), "c"(0ull), "d"(0ull) : "memory", "cc"); }

static void privilege(void)
{
    user_call(ring3);
    ring3_vector = probe_count ? (u32)probe_frame.vector : ~0u;
    probe_count = 0;
    CHECK(ring3_vector == V_GP, "PVALIDATE at CPL 3: vector %u", ring3_vector);
}

static void registers(void)
{
    CHECK(rdmsr(MSR_SEV_STATUS) >> 0 & 1 && rdmsr(MSR_SEV_STATUS) >> 2 & 1, "SEV_STATUS 0x%llx", rdmsr(MSR_SEV_STATUS));
    struct cpuid r = cpuid(0x8000001F, 0);
    CHECK(r.eax >> 4 & 1 && 1ull << (r.ebx & 0x3F) == c_bit_mask, "CPUID 8000001F: 0x%x 0x%x", r.eax, r.ebx);
    u64 info = msr_protocol(GHCB_INFO_REQ);
    CHECK((info & GHCB_CODE) == GHCB_INFO_RESP && 1ull << (info >> 24 & 0xFF) == c_bit_mask, "the hypervisor's C-bit");
    CHECK(rdmsr(MSR_APIC_BASE) >> 11 & 1, "the APIC is on: 0x%llx", rdmsr(MSR_APIC_BASE));
    PROBE("rdmsr", : "c"(0xC0FFEEu) : "rax", "rdx");
    CHECK(probe_count == 1 && probe_frame.vector == V_GP, "an MSR that is not there");
    probe_count = 0;
}

int main(void)
{
    snp_open("snp_vmpl0");
    CHECK(snp_secrets_page.version >= 2 && my_vmpl() == 0, "the secrets page");
    CHECK(snp_cpuid_page.count && snp_cpuid_page.count <= 64, "the CPUID page has %u functions", snp_cpuid_page.count);
    states();
    permissions();
    pages_change();
    privilege();
    registers();
    return check_report("snp_vmpl0");
}
