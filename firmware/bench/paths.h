/* What the guests of `strata bench switch` have in common: loops around a path, and short interrupt handlers. */
#pragma once
#include "pic.h"
#include "sdk.h"

#define CR4_OSXSAVE (1u << 18)
#define XCR0_AVX_STATE 7 /* x87, SSE, AVX */

/* The only interrupts are those of the paths. */
static inline void no_other_interrupts(void) { pic_mask(0xFFFF); }

/* x87, SSE and AVX state exists, so that planes with an FPU of their own have as much to save as a common OS. */
static inline void enable_vector_state(void)
{
    if (!(CPUID_REG(1, 0, ecx) & 1u << 28))
        return;
    write_cr4(read_cr4() | CR4_OSXSAVE);
    asm volatile("xsetbv" : : "c"(0), "a"(XCR0_AVX_STATE), "d"(0));
}

/* An interrupt gate straight to a label: the SDK's common path saves more than a path should have. */
static inline void short_gate(unsigned vector, const void *label)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) idtr;
    asm volatile("sidt %0" : "=m"(idtr));
    u64 at = (reg_t)label, *gate = (u64 *)idtr.base + 2 * vector;
    gate[0] = (at & 0xFFFF) | SEL_KCODE << 16 | 0x8E00ull << 32 | (at >> 16 & 0xFFFF) << 48;
    gate[1] = at >> 32;
}
