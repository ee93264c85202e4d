/* Whether planes have x87 and vector registers in common or each its own, and what a plane that never used them finds. */
#include "planes.h"

#define CR4_OSFXSR (1u << 9)
#define CR4_OSXSAVE (1u << 18)
#define MXCSR_RESET 0x1F80u
#define FCW_RESET 0x37Fu

static u64 get_xmm0(void)
{
    u64 v;
    asm volatile("movq %%xmm0, %0" : "=r"(v));
    return v;
}
static void set_xmm0(u64 v) { asm volatile("movq %0, %%xmm0" : : "r"(v)); }
static u32 get_mxcsr(void)
{
    u32 v;
    asm volatile("stmxcsr %0" : "=m"(v));
    return v;
}
static void set_mxcsr(u32 v) { asm volatile("ldmxcsr %0" : : "m"(v)); }
static u16 get_fcw(void)
{
    u16 v;
    asm volatile("fnstcw %0" : "=m"(v));
    return v;
}
static void set_fcw(u16 v) { asm volatile("fldcw %0" : : "m"(v)); }

static bool has_xsave(void) { return CPUID_REG(1, 0, ecx) >> 26 & 1; }
static u32 get_xcr0(void)
{
    u32 lo, hi;
    asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}
static void set_xcr0(u32 v) { asm volatile("xsetbv" : : "a"(v), "d"(0), "c"(0)); }

static void other(unsigned number)
{
    s64 result;
    if (rules.how & ASK_RUN)
        result = plane_run(number);
    else
        result = number ? plane_call() : plane_return();
    CHECK(result == 0, "to plane %u: %lld", number, result);
}

/* Expects what the other plane left, or what was here before. */
static void check(bool shared, u64 theirs, u64 mine, const char *what, u64 found)
{
    CHECK(found == (shared ? theirs : mine), "plane %llu: %s is 0x%llx", self()->number, what, found);
}

static void second(void)
{
    bool shared = rules.shares & SHARE_FPU;
    check(shared, 0x1111, 0, "XMM0", get_xmm0());
    check(shared, 0x1F00, MXCSR_RESET, "MXCSR", get_mxcsr());
    check(shared, 0x27F, FCW_RESET, "FCW", get_fcw());
    if (has_xsave())
        check(shared, 3, 1, "XCR0", get_xcr0());
    set_xmm0(0x2222);
    set_mxcsr(0x9F80);
    set_fcw(0xF7F);
    if (has_xsave())
        set_xcr0(1);
    other(0);
    check(shared, 0x3333, 0x2222, "XMM0", get_xmm0());
    check(shared, 0x1F00, 0x9F80, "MXCSR", get_mxcsr());
    check(shared, 0x27F, 0xF7F, "FCW", get_fcw());
    other(0);
}

int main(void)
{
    planes_open("fpu_probe", 2);
    bool shared = rules.shares & SHARE_FPU;
    write_cr4(read_cr4() | CR4_OSFXSR | (has_xsave() ? CR4_OSXSAVE : 0));
    CHECK(plane_create(1, second) == 0, "plane 1");
    set_xmm0(0x1111);
    set_mxcsr(0x1F00);
    set_fcw(0x27F);
    if (has_xsave())
        set_xcr0(3);
    other(1);
    check(shared, 0x2222, 0x1111, "XMM0", get_xmm0());
    check(shared, 0x9F80, 0x1F00, "MXCSR", get_mxcsr());
    check(shared, 0xF7F, 0x27F, "FCW", get_fcw());
    if (has_xsave())
        check(shared, 1, 3, "XCR0", get_xcr0());
    set_xmm0(0x3333);
    set_mxcsr(0x1F00);
    set_fcw(0x27F);
    other(1);
    printf("fpu_probe: x87 and vector registers are %s\n", shared ? "shared" : "each plane's own");
    return check_report("fpu_probe");
}
