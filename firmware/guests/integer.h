/*
 * One integer test: an operation over edge values, folded into a CRC-32 of results and defined flags. The same
 * files build for user mode (host/integer_host.c), which is how the expected values were confirmed on a CPU.
 */
#pragma once
#include "types.h"

#define F_CF 0x001u
#define F_PF 0x004u
#define F_AF 0x010u
#define F_ZF 0x040u
#define F_SF 0x080u
#define F_OF 0x800u
#define F_ALL (F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF)
#define F_LOGIC (F_ALL & ~F_AF) /* AND, OR, XOR, TEST, shifts: AF is undefined */

/* Operands and flags before and after one operation. */
struct op {
    u64 a, b, c; /* RAX, RCX, RDX */
    u64 flags;
};

/* CPUID features a group may need. */
enum need { ALWAYS, POPCNT, LZCNT, BMI1, BMI2, ADX, MOVBE, SSE42, CX16 };

struct group {
    const char *name;
    enum need need;
    void (*run)(void);
    bool tcg_differs; /* QEMU 7.2 TCG computes something else than processors do */
};

extern const struct group alu_groups[], bit_groups[], more_groups[], string_groups[];

void fold(u64 v); /* adds 8 bytes to the running CRC */

/* Runs fn on every pair of edge values and both carries; folds RAX, RCX, RDX and the masked flags. */
void pairs(void (*fn)(struct op *), u32 flag_mask);
/* As pairs, with RCX limited to 0-255 in steps that matter for shift counts. mask_of: defined flags by count. */
void counts(void (*fn)(struct op *), u32 (*mask_of)(u32 count), u32 width);

/* The body of an operation: operands in RAX, RCX, RDX, flags loaded before and stored after. */
#define OP(name, text)                                                                                      \
    static void name(struct op *o)                                                                          \
    {                                                                                                       \
        asm volatile("pushq %3; popfq; " text "; pushfq; popq %3"                                           \
                     : "+a"(o->a), "+c"(o->b), "+d"(o->c), "+r"(o->flags) : : "cc", "memory", "r8", "r9");    \
    }
/* The four widths of a two-operand instruction: RAX op= RCX. */
#define OP4(name, insn) \
    OP(name##8, insn "b %%cl, %%al") OP(name##16, insn "w %%cx, %%ax") OP(name##32, insn "l %%ecx, %%eax") \
        OP(name##64, insn "q %%rcx, %%rax")
/* The four widths of a one-operand instruction on RAX. */
#define OP4_1(name, insn) \
    OP(name##8, insn "b %%al") OP(name##16, insn "w %%ax") OP(name##32, insn "l %%eax") OP(name##64, insn "q %%rax")
/* The four widths of a shift of RAX by CL. */
#define OP4_CL(name, insn) \
    OP(name##8, insn "b %%cl, %%al") OP(name##16, insn "w %%cl, %%ax") OP(name##32, insn "l %%cl, %%eax") \
        OP(name##64, insn "q %%cl, %%rax")
#define PAIRS4(name, mask) (pairs(name##8, mask), pairs(name##16, mask), pairs(name##32, mask), pairs(name##64, mask))
