/* Whose memory is whose: the SVSM's image and pages from 16 MiB to the next multiple of 2 MiB, the guest's the rest. */
#include "svsm.h"

#define LOW_END 0x100000ull     /* below it lie what the loader put, and holes; nobody accepts it */
#define MAPPED (4ull << 30)     /* what the runtime's page tables reach */
#define OWN_PAGES 32

static u8 own[OWN_PAGES][PAGE] ALIGNED(4096);
static unsigned own_used;

static u64 svsm_end(void) { return ((reg_t)image_end + LARGE_PAGE - 1) & -LARGE_PAGE; }

void *svsm_page(void)
{
    if (own_used < OWN_PAGES && !((reg_t)own[own_used] & (LARGE_PAGE - 1)))
        own_used++;
    if (own_used == OWN_PAGES) {
        printf("svsm: out of pages\n");
        terminate(0, 0);
    }
    zero((reg_t)own[own_used], PAGE);
    return own[own_used++];
}

bool guest_memory(u64 gpa, u64 bytes)
{
    u64 end = gpa + bytes;
    if (end < gpa || gpa < LOW_END || end > MAPPED || (gpa < svsm_end() && end > (reg_t)image_start))
        return false;
    for (const struct memory_map_entry *e = snp_memory_map; e->pages; e++)
        if (e->page * PAGE <= gpa && end <= (e->page + e->pages) * PAGE)
            return true;
    return false;
}

/* --- instructions that a wrong address may make fault -------------------------------------------------------------- */

static bool faulted(void)
{
    bool any = probe_count;
    probe_count = 0;
    return any;
}

bool guest_touch(u64 gpa)
{
    u8 value;
    PROBE("movb (%1), %0", "=q"(value) : "r"(gpa) : "memory");
    return !faulted();
}

static u32 adjust(u64 gpa, bool large, u32 what)
{
    u32 rc;
    PROBE(".byte 0xF3, 0x0F, 0x01, 0xFE", "=a"(rc) : "a"(gpa), "c"((u64)large), "d"((u64)what) : "memory", "cc");
    return faulted() ? SNP_FAIL_INPUT : rc;
}

u32 guest_grant(u64 gpa, bool large, u32 mask) { return adjust(gpa, large, GUEST_VMPL | mask << 8); }

u32 set_vmsa(u64 gpa, bool vmsa) { return adjust(gpa, false, 1 | (vmsa ? RMP_VMSA : 0)); }

/* Kernels look at a VMSA once more after the SVSM has taken it: the guest may read it, not write to it. */
u32 set_guest_vmsa(u64 gpa) { return adjust(gpa, false, GUEST_VMPL | VMPL_R << 8 | RMP_VMSA); }

u32 guest_validate(u64 gpa, bool large, bool validate)
{
    u32 rc;
    bool carry;
    PROBE(".byte 0xF2, 0x0F, 0x01, 0xFF\n\tsetc %1", "=a"(rc), "=&q"(carry) : "a"(gpa), "c"((u64)large), "d"((u64)validate)
          : "memory", "cc");
    return faulted() ? SNP_FAIL_INPUT : rc == SNP_OK && carry ? SNP_UNCHANGED : rc;
}

/* --- at the start ------------------------------------------------------------------------------------------------- */

static void accept_pages(u64 gpa, u64 count, bool large)
{
    u64 size = large ? LARGE_PAGE : PAGE;
    page_state_change(gpa, count, large, PSC_PRIVATE);
    for (; count; count--, gpa += size) {
        u32 rc = pvalidate(gpa, large, true);
        if (large && rc == SNP_FAIL_SIZE) {
            for (u64 page = gpa; page < gpa + size; page += PAGE)
                if (pvalidate(page, false, true) != SNP_OK)
                    terminate(TERM_SET_LINUX, TERM_PVALIDATE);
        } else if (rc != SNP_OK) {
            terminate(TERM_SET_LINUX, TERM_PVALIDATE);
        }
        zero(gpa, size); /* it may be anybody's */
        if (rmpadjust(gpa, large, GUEST_VMPL | VMPL_ALL << 8) == SNP_FAIL_SIZE)
            for (u64 page = gpa; page < gpa + size; page += PAGE)
                rmpadjust(page, false, GUEST_VMPL | VMPL_ALL << 8);
    }
}

static void accept(u64 from, u64 to)
{
    u64 first = (from + LARGE_PAGE - 1) & -LARGE_PAGE, last = to & -LARGE_PAGE;
    if (first >= last) {
        if (from < to)
            accept_pages(from, (to - from) / PAGE, false);
        return;
    }
    accept_pages(from, (first - from) / PAGE, false);
    accept_pages(first, (last - first) / LARGE_PAGE, true);
    accept_pages(last, (to - last) / PAGE, false);
}

void memory_accept(void)
{
    for (const struct memory_map_entry *e = snp_memory_map; e->pages; e++) {
        u64 from = e->page * PAGE, to = from + e->pages * PAGE, hole = (reg_t)image_start, after = svsm_end();
        if (from < LOW_END)
            from = LOW_END;
        if (to > MAPPED)
            to = MAPPED;
        if (from < hole && to > hole) {
            accept(from, hole);
            from = after;
        }
        if (from < to)
            accept(from, to);
    }
}
