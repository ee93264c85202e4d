/*
 * Malformed hypercalls by the thousand, from both VTLs: pseudo-random input values and parameter blocks. Every one must
 * come back with a status that the TLFS knows, and the guest must still be able to do its work.
 */
#include "rt.h"

#define CALLS 4000

static const u16 codes[] = {0x02, 0x03, 0x08, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x13, 0x14, 0x15, 0x4D, 0x50,  0x51,
                            0x52, 0x5C, 0x5D, 0x7E, 0x94, 0x99, 0x9A, 0xAC, 0xC0, 0xC1, 0xD4, 0xD6, 0x7F00, 0x8001, 0xFFFF};
static const u16 statuses[] = {0, 2, 3, 4, 5, 6, 0xD, 0xE, 0x12, 0x13, 0x15, 0x18, 0x50, 0x51, 0x86};

static u64 seed = 0x9E3779B97F4A7C15;
static u8 scratch[2][8192] ALIGNED(4096);

static u64 draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static bool known(u64 status)
{
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i] == status)
            return true;
    return false;
}

/* Registers whose change would end this test: RIP and the like of the other VTL, its page tables and its APIC. */
static u64 element(void)
{
    static const u32 names[] = {0xD0002, 0xD0003, 0xD0004, 0xD0006, 0x90003, 0x90004, 0x77777, 0x20000, 0x30000, 0x10003};
    return names[draw() % (sizeof names / sizeof *names)];
}

static void fill(u16 code, u64 *block)
{
    for (unsigned i = 0; i < 64; i++)
        block[i] = draw() & draw();
    if (draw() % 4)
        block[0] = HV_PARTITION_SELF;
    if (draw() % 2)
        block[1] = HV_VP_SELF | (draw() & 0x3Full) << 32;
    if (code == 0x50 || code == 0x51)
        for (unsigned i = 2; i < 64; i++)
            block[i] = code == 0x50 ? element() | element() << 32 : i % 4 == 2 ? element() : draw();
    if (code == 0x0C) /* pages that nothing uses, and no pages */
        for (unsigned i = 2; i < 64; i++)
            block[i] = draw() % 2 ? 0x2000 + draw() % 16 : draw();
    if (code == 0x0D || code == 0x0F || code == 0x99)
        block[1] |= 0xE0ull << 32; /* never a VTL that could be enabled */
    if (code == 0x0B || code == 0x15)
        block[0] = draw() % 16; /* no vector */
    if (code == 0x94)
        block[0] = draw() | 1ull << 63; /* no interrupts */
}

static void one(void)
{
    u16 code = codes[draw() % (sizeof codes / sizeof *codes)];
    u64 *block = (u64 *)scratch[0], control = code;
    fill(code, block);
    if (draw() % 2)
        control |= (draw() % 5) << 32;
    switch (draw() % 8) {
    case 0:
        control |= draw() & 0xF000F00078000000; /* reserved bits */
        break;
    case 1:
        control |= (draw() & 7) << 48; /* start */
        break;
    case 2:
        control |= (draw() & 0xFFF) << 32;
        break;
    case 3:
        control |= (draw() & 0x3FF) << 17;
        break;
    case 4:
        control |= draw() & (1 << 16);
    }
    u64 in = (reg_t)scratch[0], out = (reg_t)scratch[1], result;
    switch (draw() % 8) {
    case 0:
        in += draw() % 4096;
        break;
    case 1:
        out += draw() % 4096;
        break;
    case 2:
        in = draw();
        break;
    case 3:
        out = draw() << 12;
    }
    if (control & 1 << 16) { /* fast: operands are data */
        in = block[0];
        out = block[1];
    }
    if (!(control & 1 << 16) && out < 0x4000000 && (out < (reg_t)scratch[1] || out >= (reg_t)scratch[2]))
        out = (reg_t)scratch[1]; /* not over this program */
    u8 *page = self()->hypercall_page;
    register u64 r8 asm("r8") = out;
    asm volatile("call *%[page]"
                 : "=a"(result), "+c"(control), "+d"(in), "+r"(r8)
                 : [page] "r"(page)
                 : "rbx", "rsi", "rdi", "memory", "cc");
    CHECK(known(result & 0xFFFF) && !(result & 0xFFFFF000FFFF0000), "call 0x%x: result 0x%llx", code, result);
}

static void vtl1(struct shared_registers *r)
{
    if (!r) {
        hv_set(HV_REG_VSM_PARTITION_CONFIG, 0, HV_CONFIG_PROTECT);
        return;
    }
    for (int i = 0; i < CALLS; i++)
        one();
    r->rdi = 0x600D;
}

int main(void)
{
    vsm_open("vsm_malformed", 1);
    for (int i = 0; i < CALLS; i++)
        one();
    CHECK(hv_get(HV_REG_VSM_PARTITION_STATUS, 0) >> 16 == 1, "VsmPartitionStatus changed");
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    CHECK(vtl_call(0, 0, 0) == 0x600D, "VTL1 does not answer");
    for (int i = 0; i < CALLS; i++)
        one();
    u64 status = hv_get(HV_REG_VSM_VP_STATUS, 0);
    CHECK(status >> 16 == 3 && (status & 0xF) == 0, "VsmVpStatus 0x%llx", status);
    return check_report("vsm_malformed");
}
