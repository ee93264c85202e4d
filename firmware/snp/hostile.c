/* A guest at VMPL2 whose hypervisor may lie. It tells an attacker when and where on port 0xE0 (an address, a step in its
 * low bits), as if that had found out; a line says what came of each step. Only what fools the guest fails. */
#include "rt.h"

#define TELL 0xE0
enum { STEP_SECRET = 1, STEP_ACCEPT = 2, STEP_CALLS = 3, STEP_REGISTERS = 4 };

static u8 secret[PAGE] ALIGNED(4096), accepted[PAGE] ALIGNED(4096), spare[PAGE] ALIGNED(4096);
static u8 report[PAGE] ALIGNED(4096), manifest[PAGE] ALIGNED(4096);
static u64 nonce[8] ALIGNED(64), operation[8] ALIGNED(64), list[2] ALIGNED(16);

static void tell(const void *page, unsigned step) { outl(TELL, (u32)(reg_t)page | step); }

static u64 svsm_pvalidate(void *page, bool validate)
{
    list[0] = 1;
    list[1] = (reg_t)page | (validate ? ENTRY_VALIDATE : 0);
    struct svsm_call c = {.rcx = (reg_t)list};
    return svsm_call(SVSM_CORE, CORE_PVALIDATE, &c);
}

/* Its own data: either there, or a fault. */
static void own_page(void)
{
    u8 value = 0;
    memset(secret, 0x5A, PAGE);
    memset(spare, 0xA5, PAGE);
    tell(spare, 0);
    tell(secret, STEP_SECRET);
    PROBE("movb 100(%1), %0", "=q"(value) : "r"(secret) : "memory");
    bool fault = probe_count;
    CHECK(fault || value == 0x5A, "a page has other contents: 0x%x", value);
    CHECK(!fault || (probe_frame.vector == V_VC && probe_frame.error == VC_NOT_VALIDATED), "another exception");
    printf("own page: %s\n", fault ? "taken away, which shows as #VC" : "intact");
    probe_count = 0;
}

/* A page that the SVSM accepts is empty, whoever's it was. */
static void accepted_page(void)
{
    bool leak = false;
    if (svsm_pvalidate(accepted, false) != SVSM_SUCCESS) {
        printf("accepted page: not serviced\n");
        return;
    }
    tell(accepted, STEP_ACCEPT);
    u64 rc = svsm_pvalidate(accepted, true);
    for (unsigned i = 0; rc == SVSM_SUCCESS && i < PAGE; i++)
        leak |= accepted[i] != 0;
    CHECK(!leak, "an accepted page has somebody's contents");
    printf("accepted page: %s\n", rc == SVSM_SUCCESS ? "empty" : "refused");
}

/* Answers are the SVSM's, or known not to be. */
static void calls(void)
{
    unsigned missing = 0;
    tell(0, STEP_CALLS);
    for (unsigned i = 0; i < 8; i++) {
        struct svsm_call c = {.rcx = i % 2 ? 1 : 2};
        u64 rc = svsm_call(SVSM_CORE, CORE_QUERY_PROTOCOL, &c);
        if (rc == SVSM_NOT_SERVICED)
            missing++;
        else
            CHECK(rc == SVSM_SUCCESS && c.rcx == (i % 2 ? 1ull << 32 | 1 : 0), "a wrong answer: 0x%llx", c.rcx);
    }
    printf("calls: %u of 8 not serviced\n", missing);
}

static void registers(void)
{
    tell(0, STEP_REGISTERS);
    struct cpuid r = cpuid(0x8000001F, 0);
    CHECK(1ull << (r.ebx & 0x3F) == c_bit_mask, "CPUID lies: 0x%x", r.ebx);
    PROBE("rdmsr", : "c"(MSR_APIC_BASE) : "rax", "rdx");
    printf("MSR: %s\n", probe_count ? "refused" : "read");
    CHECK(!probe_count || probe_frame.vector == V_GP || probe_frame.vector == V_UD, "vector %llu", probe_frame.vector);
    probe_count = 0;
    ghcb_begin();
    u32 info1 = ghcb_end(0x80000FFF, 0, 0);
    printf("unknown request: %s\n", info1 == 2 ? "malformed" : "taken");
}

static void page_states(void)
{
    bool changed = make_shared(spare);
    if (changed)
        page_state_change((reg_t)spare, 1, false, PSC_SHARED);
    printf("page states: %s\n", changed ? "as told" : "refused");
}

static void attestation(void)
{
    operation[0] = (reg_t)report;
    operation[1] = operation[5] = PAGE;
    operation[2] = (reg_t)nonce;
    operation[3] = sizeof nonce;
    operation[4] = (reg_t)manifest;
    struct svsm_call c = {.rcx = (reg_t)operation};
    u64 rc = svsm_call(SVSM_ATTEST, 0, &c);
    printf("report: %s\n", rc == SVSM_SUCCESS ? "given" : rc == SVSM_NOT_SERVICED ? "not serviced" : "none");
}

int main(void)
{
    snp_open("snp_hostile");
    if (my_vmpl() == 0) {
        printf("snp_hostile: skipped: needs an SVSM below it\n");
        return EXIT_SKIP;
    }
    own_page();
    calls();
    registers();
    page_states();
    attestation();
    attestation();
    accepted_page();
    attestation();
    return check_report("snp_hostile");
}
