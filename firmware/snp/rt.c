/* The runtime of SNP guests: who runs, the MSR protocol, requests through the GHCB, shared pages, calls to an SVSM. */
#include "rt.h"
#include "vc.h"

static struct processor first;
static u8 first_ghcb[PAGE] ALIGNED(4096);
static u64 one_page_list[2] ALIGNED(16); /* a struct page_list of one entry, which must not cross a page */

struct processor *this_processor(void)
{
    reg_t sp;
    asm volatile("mov %%rsp, %0" : "=r"(sp));
    return *(struct processor **)(sp & -(reg_t)STACK_BYTES);
}

unsigned my_vmpl(void) { return snp_secrets_page.svsm_size ? snp_secrets_page.svsm_guest_vmpl : 0; }

void zero(u64 gpa, u64 bytes)
{
    u64 words = bytes / 8;
    asm volatile("rep stosq" : "+D"(gpa), "+c"(words) : "a"(0ull) : "memory");
}

void *shared(void *page) { return (void *)((reg_t)page + SHARED); }

void snp_open_processor(void)
{
    struct processor *p = this_processor();
    if (msr_protocol((reg_t)p->ghcb | GHCB_REGISTER_REQ) != ((reg_t)p->ghcb | GHCB_REGISTER_RESP))
        terminate(TERM_SET_LINUX, TERM_REGISTER_GHCB);
    wrmsr(MSR_GHCB, (reg_t)p->ghcb);
}

void snp_open(const char *guest)
{
    trap_init();
    probe_init();
    set_handler(V_VC, vc_handler);
    *(struct processor **)boot_stack = &first;
    if (!c_bit_mask) {
        printf("%s: skipped: no SEV-SNP here (strata run --planes snp)\n", guest);
        exit(EXIT_SKIP);
    }
    set_calling_area(&snp_calling_area);
    if (!make_shared(first_ghcb))
        terminate(TERM_SET_LINUX, TERM_PSC);
    first.ghcb = first_ghcb;
    snp_open_processor();
}

void terminate(unsigned set, unsigned reason)
{
    wrmsr(MSR_GHCB, GHCB_TERMINATE | (u64)set << 12 | (u64)reason << 16);
    for (;;)
        vmgexit();
}

u64 msr_protocol(u64 request)
{
    u64 before = rdmsr(MSR_GHCB);
    wrmsr(MSR_GHCB, request);
    vmgexit();
    u64 answer = rdmsr(MSR_GHCB);
    wrmsr(MSR_GHCB, before);
    return answer;
}

/* --- the GHCB --------------------------------------------------------------------------------------------------- */

static u8 *ghcb(void) { return shared(this_processor()->ghcb); }

void ghcb_begin(void)
{
    memset(ghcb() + G_VALID, 0, 16);
    *(u16 *)(ghcb() + G_VERSION) = 2;
    *(u32 *)(ghcb() + G_USAGE) = 0;
}

void ghcb_set(unsigned offset, u64 value)
{
    if (offset == G_CPL)
        ghcb()[offset] = (u8)value;
    else
        *(u64 *)(ghcb() + offset) = value;
    ghcb()[G_VALID + offset / 64] |= (u8)(1u << offset / 8 % 8);
}

u64 ghcb_get(unsigned offset) { return *(volatile u64 *)(ghcb() + offset); }

u8 *ghcb_buffer(void) { return ghcb() + G_BUFFER; }

u32 ghcb_end(u64 code, u64 info1, u64 info2)
{
    ghcb_set(G_EXITCODE, code);
    ghcb_set(G_EXITINFO1, info1);
    ghcb_set(G_EXITINFO2, info2);
    vmgexit();
    return (u32)ghcb_get(G_EXITINFO1);
}

/* --- page states ------------------------------------------------------------------------------------------------ */

struct psc_list {
    u16 current, end;
    u32 reserved;
    u64 entry[];
};
#define PSC_ENTRIES 253u
#define PSC_2M (1ull << 56)

/* One list; the hypervisor may stop early, but not go back (GHCB §4.1.6). */
static void psc_list_done(struct psc_list *list)
{
    u16 end = list->end, last = 0;
    while (list->current <= end) {
        ghcb_begin();
        ghcb_set(G_SCRATCH, (reg_t)this_processor()->ghcb + G_BUFFER);
        u32 info1 = ghcb_end(NAE_PSC, 0, 0);
        struct psc_list now = *(volatile struct psc_list *)list;
        if (info1 || ghcb_get(G_EXITINFO2) || now.current < last || now.end != end || now.reserved)
            terminate(TERM_SET_LINUX, TERM_PSC);
        last = now.current;
    }
}

void page_state_change(u64 gpa, u64 count, bool large, unsigned operation)
{
    while (count) {
        struct psc_list *list = (struct psc_list *)ghcb_buffer();
        u32 n = count < PSC_ENTRIES ? (u32)count : PSC_ENTRIES;
        for (u32 i = 0; i < n; i++, gpa += large ? LARGE_PAGE : PAGE)
            list->entry[i] = gpa | (u64)operation << 52 | (large ? PSC_2M : 0);
        list->current = 0;
        list->end = (u16)(n - 1);
        list->reserved = 0;
        psc_list_done(list);
        count -= n;
    }
}

static bool psc_one(u64 gpa, unsigned operation)
{
    return msr_protocol(gpa | (u64)operation << 52 | GHCB_PSC_REQ) == GHCB_PSC_RESP;
}

/* PVALIDATE of one page, by whoever may do it. */
static bool accept(void *page, bool validate)
{
    if (my_vmpl() == 0)
        return pvalidate((reg_t)page, false, validate) == SNP_OK;
    one_page_list[0] = 1;
    one_page_list[1] = (reg_t)page | (validate ? ENTRY_VALIDATE : 0);
    struct svsm_call call = {.rcx = (reg_t)one_page_list};
    return svsm_call(SVSM_CORE, CORE_PVALIDATE, &call) == SVSM_SUCCESS;
}

bool make_shared(void *page) { return accept(page, false) && psc_one((reg_t)page, PSC_SHARED); }

bool make_private(void *page) { return psc_one((reg_t)page, PSC_PRIVATE) && accept(page, true); }

/* --- the SVSM --------------------------------------------------------------------------------------------------- */

static struct calling_area *calling_area;

void set_calling_area(struct calling_area *area) { calling_area = area; }

u64 svsm_call(u32 protocol, u32 call, struct svsm_call *registers)
{
    u64 before = rdmsr(MSR_GHCB);
    calling_area->call_pending = 1;
    wrmsr(MSR_GHCB, GHCB_RUN_VMPL_REQ);
    u64 result = (u64)protocol << 32 | call;
    register u64 r8 asm("r8") = registers->r8;
    register u64 r9 asm("r9") = registers->r9;
    asm volatile("rep; vmmcall" : "+a"(result), "+c"(registers->rcx), "+d"(registers->rdx), "+r"(r8), "+r"(r9)
                 :
                 : "memory");
    registers->r8 = r8;
    registers->r9 = r9;
    u64 answer = rdmsr(MSR_GHCB);
    wrmsr(MSR_GHCB, before);
    u8 pending = 0;
    asm volatile("xchgb %0, %1" : "+q"(pending), "+m"(calling_area->call_pending) : : "memory");
    /* What a hypervisor answers in the SVSM's place is no answer. */
    return answer != GHCB_RUN_VMPL_RESP || pending ? SVSM_NOT_SERVICED : result;
}

bool svsm_interrupts(void) { return rdmsr(MSR_SEV_STATUS) >> SEV_STATUS_FEATURES_SHIFT & FEATURE_ALTERNATE; }

bool command_line_has(const char *word)
{
    for (const char *at = snp_command_line; *at; at++) {
        unsigned n = 0;
        while (word[n] && at[n] == word[n])
            n++;
        if (!word[n])
            return true;
    }
    return false;
}
