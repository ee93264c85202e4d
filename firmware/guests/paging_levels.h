/*
 * The page-table exercise that 32-bit, PAE and 4-level paging share (SDM vol. 3 §4.3-4.8). The guest defines
 * pte_t, LEVELS (tables on the way), RIGHTS_LEVELS (how many of them, from the leaf up, have R/W and U/S) and
 * VIRTUAL (an address whose tables are its own), and points entry[] at the entries that translate VIRTUAL.
 */
#pragma once
#include "sdk.h"

#define PTE_P 1u
#define PTE_RW 2u
#define PTE_US 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u
#define PTE_NX (1ull << 63)
#define ALL (PTE_P | PTE_RW | PTE_US)
#define PF_P 1
#define PF_W 2
#define PF_U 4
#define PF_RSVD 8
#define PF_I 16
#define NO_FAULT (-1)
#define LARGE_FRAME 0x1000000u /* 16 MiB: RAM behind the large pages */
#define ENTRIES (4096 / sizeof(pte_t))

static pte_t leaf[ENTRIES] ALIGNED(4096); /* leaf[0]: frame_a, [1]: frame_b, [2]: frame_a again */
static volatile u8 frame_a[4096] ALIGNED(4096), frame_b[4096] ALIGNED(4096);
static pte_t *entry[LEVELS]; /* entry[0] is &leaf[0] */
static pte_t whole[LEVELS];  /* what they hold when nothing is tested */
static bool nx;

enum access { READ, WRITE, FETCH };
static enum access access_kind;
static reg_t access_at;

static void access_now(void)
{
    if (access_kind == READ)
        PROBE("movb (%0), %%al", : "r"(access_at) : "eax", "memory");
    else if (access_kind == WRITE)
        PROBE("movb %%al, 64(%0)", : "r"(access_at) : "memory");
    else
        PROBE("call *%0", : "r"(access_at) : "memory");
}

static void flush(void)
{
    for (reg_t i = 0; i < 3; i++)
        invlpg((void *)(VIRTUAL + i * 4096));
}

static void restore(void)
{
    for (int i = 0; i < LEVELS; i++)
        *entry[i] = whole[i];
    leaf[1] = (reg_t)frame_b | ALL;
    leaf[2] = (reg_t)frame_a | ALL;
    flush();
}

/* One access from ring 0 or 3; error NO_FAULT or the #PF error code. */
static void expect(bool user, enum access kind, int error, const char *what, int level)
{
    static const char *const kinds[] = {"read", "write", "fetch"};
    access_kind = kind;
    access_at = VIRTUAL;
    probe_count = 0;
    if (user)
        user_call(access_now);
    else
        access_now();
    reg_t at = VIRTUAL + (kind == WRITE ? 64 : 0);
    if (error == NO_FAULT)
        CHECK(probe_count == 0, "%s, level %d: ring %d %s: vector %u error 0x%lx", what, level,
              user ? 3 : 0, kinds[kind], (unsigned)probe_frame.vector, PROBE_ERROR);
    else if (CHECK(probe_count == 1 && probe_frame.vector == V_PF && probe_frame.cr2 == at,
                   "%s, level %d: ring %d %s: no #PF, or CR2 0x%lx", what, level, user ? 3 : 0, kinds[kind],
                   (unsigned long)probe_frame.cr2)) {
        /* The RSVD bit implies P; QEMU 7.2 TCG leaves P clear. */
        bool (*check)(bool, const char *, int, const char *, ...) = error & PF_RSVD ? check_except_tcg : check_one;
        check(PROBE_ERROR == (unsigned)error, __FILE_NAME__, __LINE__,
              "%s, level %d: ring %d %s: error 0x%lx, not 0x%x", what, level, user ? 3 : 0, kinds[kind],
              PROBE_ERROR, error);
    }
    probe_count = 0;
}

static void write_protect(bool on)
{
    write_cr0(on ? read_cr0() | CR0_WP : read_cr0() & ~(reg_t)CR0_WP);
}

static void test_rights(int level)
{
    restore();
    *entry[level] &= ~(pte_t)PTE_P;
    flush();
    expect(false, READ, 0, "not present", level);
    expect(false, WRITE, PF_W, "not present", level);
    expect(false, FETCH, nx ? PF_I : 0, "not present", level);
    expect(true, READ, PF_U, "not present", level);
    expect(true, WRITE, PF_U | PF_W, "not present", level);

    restore();
    *entry[level] &= ~(pte_t)PTE_RW;
    flush();
    write_protect(true);
    expect(false, READ, NO_FAULT, "read-only", level);
    expect(false, WRITE, PF_P | PF_W, "read-only, WP = 1", level);
    expect(true, READ, NO_FAULT, "read-only", level);
    expect(true, WRITE, PF_P | PF_W | PF_U, "read-only", level);
    CHECK(!(leaf[0] & PTE_D), "level %d: a write that faulted set the dirty bit", level);
    write_protect(false);
    flush();
    expect(false, WRITE, NO_FAULT, "read-only, WP = 0", level);
    expect(true, WRITE, PF_P | PF_W | PF_U, "read-only, WP = 0", level);

    restore();
    *entry[level] &= ~(pte_t)PTE_US;
    flush();
    expect(false, WRITE, NO_FAULT, "supervisor", level);
    expect(false, FETCH, NO_FAULT, "supervisor", level);
    expect(true, READ, PF_P | PF_U, "supervisor", level);
    expect(true, WRITE, PF_P | PF_W | PF_U, "supervisor", level);
    expect(true, FETCH, PF_P | PF_U | (nx ? PF_I : 0), "supervisor", level);

    if (sizeof(pte_t) == 8 && nx) {
        restore();
        *entry[level] |= (pte_t)PTE_NX;
        flush();
        expect(false, WRITE, NO_FAULT, "no-execute", level);
        expect(false, FETCH, PF_P | PF_I, "no-execute", level);
        expect(true, FETCH, PF_P | PF_U | PF_I, "no-execute", level);
    }
    if (sizeof(pte_t) == 8 && (CPUID_REG(0x80000008, 0, eax) & 0xFF) < 52) {
        restore();
        *entry[level] |= (pte_t)(1ull << 51);
        flush();
        expect(false, READ, PF_P | PF_RSVD, "reserved bit", level);
        expect(false, WRITE, PF_P | PF_RSVD | PF_W, "reserved bit", level);
        expect(true, READ, PF_P | PF_RSVD | PF_U, "reserved bit", level);
    }
}

static void test_accessed_dirty(void)
{
    printf("accessed and dirty bits\n");
    restore();
    expect(false, READ, NO_FAULT, "accessed", 0);
    for (int i = 0; i < RIGHTS_LEVELS; i++)
        CHECK((*entry[i] & (PTE_A | PTE_D)) == PTE_A, "level %d after a read: 0x%llx", i, (u64)*entry[i]);
    expect(false, WRITE, NO_FAULT, "dirty", 0);
    for (int i = 0; i < RIGHTS_LEVELS; i++)
        CHECK((*entry[i] & (PTE_A | PTE_D)) == (i ? PTE_A : PTE_A | PTE_D), "level %d after a write: 0x%llx", i,
              (u64)*entry[i]);
    leaf[0] &= ~(pte_t)(PTE_A | PTE_D);
    flush();
    expect(true, READ, NO_FAULT, "accessed", 0);
    CHECK((leaf[0] & (PTE_A | PTE_D)) == PTE_A, "cleared, flushed and read: 0x%llx", (u64)leaf[0]);
    expect(true, WRITE, NO_FAULT, "dirty", 0);
    CHECK(leaf[0] & PTE_D, "a write after a read did not set the dirty bit");
}

static void test_translations(void)
{
    volatile u8 *at = (u8 *)VIRTUAL;
    printf("INVLPG, CR3, aliases, page crossings\n");
    restore();
    frame_a[8] = 'a';
    frame_b[8] = 'b';
    CHECK(at[8] == 'a' && at[4096 + 8] == 'b', "mapped: %c %c", at[8], at[4096 + 8]);
    leaf[0] = (reg_t)frame_b | ALL;
    invlpg(at);
    CHECK(at[8] == 'b', "after INVLPG: %c", at[8]);
    leaf[0] = (reg_t)frame_a | ALL;
    write_cr3(read_cr3());
    CHECK(at[8] == 'a', "after CR3 was written: %c", at[8]);
    at[9] = 'x';
    CHECK(at[8192 + 9] == 'x' && frame_a[9] == 'x', "written here, read at the alias: %c", at[8192 + 9]);
    at[8192 + 9] = 'y';
    CHECK(at[9] == 'y', "written at the alias, read here: %c", at[9]);

    *(volatile u32 *)(at + 4094) = 0x44332211;
    CHECK(frame_a[4094] == 0x11 && frame_a[4095] == 0x22 && frame_b[0] == 0x33 && frame_b[1] == 0x44,
          "a doubleword across two pages: %x %x %x %x", frame_a[4094], frame_a[4095], frame_b[0], frame_b[1]);
    CHECK(*(volatile u32 *)(at + 4094) == 0x44332211, "read back 0x%x", *(volatile u32 *)(at + 4094));
    leaf[1] = 0;
    flush();
    PROBE("movl $-1, 4094(%0)", : "r"(at) : "memory");
    CHECK_FAULT(V_PF, PF_W, "write into a page that is missing at its end");
    CHECK(probe_frame.cr2 == VIRTUAL + 4096, "CR2 0x%lx", (unsigned long)probe_frame.cr2);
    CHECK(frame_a[4094] == 0x11 && frame_a[4095] == 0x22, "the part on the first page was written");
    restore();
}

static void test_large(int level, u64 size)
{
    volatile u32 *direct = (u32 *)(reg_t)LARGE_FRAME;
    u64 frame = LARGE_FRAME & ~(size - 1);
    volatile u32 *view = (u32 *)(reg_t)(VIRTUAL + (LARGE_FRAME - frame));
    printf("pages of %llu KiB\n", size >> 10);
    restore();
    *entry[level] = (pte_t)frame | ALL | PTE_PS;
    write_cr3(read_cr3());
    *direct = 0xAABB0001;
    CHECK(*view == 0xAABB0001, "read through the large page: 0x%x", *view);
    CHECK((*entry[level] & (PTE_A | PTE_D)) == PTE_A, "entry after a read: 0x%llx", (u64)*entry[level]);
    view[1] = 0xAABB0002;
    CHECK(direct[1] == 0xAABB0002, "written through the large page: 0x%x", direct[1]);
    CHECK((*entry[level] & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "entry after a write: 0x%llx", (u64)*entry[level]);
    direct[1023 * 256] = 0x1234;
    CHECK(view[1023 * 256] == 0x1234, "nearly 1 MiB on: 0x%x", view[1023 * 256]);

    *entry[level] &= ~(pte_t)PTE_US;
    flush();
    expect(true, READ, PF_P | PF_U, "large supervisor page", level);
    *entry[level] = (pte_t)frame | PTE_P | PTE_US | PTE_PS;
    flush();
    expect(true, WRITE, PF_P | PF_U | PF_W, "large read-only page", level);
    if (sizeof(pte_t) == 8) {
        *entry[level] = (pte_t)frame | ALL | PTE_PS | 1u << 13;
        flush();
        expect(false, READ, PF_P | PF_RSVD, "reserved address bit of a large page", level);
    }
    restore();
    write_cr3(read_cr3());
}

/* Call with paging on and entry[] filled; entries above the leaf already point to the next table. */
static void test_all(u64 large)
{
    entry[0] = leaf;
    for (int i = 1; i < LEVELS; i++)
        whole[i] = *entry[i];
    whole[0] = (reg_t)frame_a | ALL;
    frame_a[0] = frame_b[0] = 0xC3; /* RET, for fetches */
    restore();
    for (int level = 0; level < RIGHTS_LEVELS; level++) {
        printf("rights at level %d\n", level);
        test_rights(level);
    }
    test_accessed_dirty();
    test_translations();
    test_large(1, large);
}
