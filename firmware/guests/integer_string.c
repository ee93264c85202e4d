/* MOVS, STOS, LODS, CMPS, SCAS in each width, both directions, with and without REP; XLAT. */
#include "integer.h"

static u8 source[256], target[256];

static void prepare(void)
{
    for (unsigned i = 0; i < 256; i++) {
        source[i] = (u8)(i * 7 + (i >> 3));
        target[i] = (u8)(i * 5 + 1);
    }
}

static void fold_target(void)
{
    for (unsigned i = 0; i < 256; i += 8) {
        u64 v = 0;
        for (unsigned j = 0; j < 8; j++)
            v |= (u64)target[i + j] << 8 * j;
        fold(v);
    }
}

/* Runs one string instruction from the middle of both buffers; folds how far the pointers went. */
#define STRING(text, count, backward)                                                                         \
    do {                                                                                                      \
        u64 si = (u64)(source + 128), di = (u64)(target + 120), cx = (count), ax = 0x8899AABBCCDDEEFF, f;      \
        asm volatile("pushq %5; popfq; " text "; pushfq; popq %4; cld"                                        \
                     : "+S"(si), "+D"(di), "+c"(cx), "+a"(ax), "=&r"(f)                            \
                     : "r"((u64)((backward) ? 0x402 : 2)) : "memory", "cc");                                  \
        fold(si - (u64)source), fold(di - (u64)target), fold(cx), fold(ax), fold(f & F_ALL);                   \
    } while (0)

#define STRING_ALL(insn)                                                                                      \
    do {                                                                                                      \
        static const u8 lengths[] = {0, 1, 3, 10};                                                            \
        for (unsigned i = 0; i < sizeof lengths; i++)                                                         \
            for (unsigned back = 0; back < 2; back++) {                                                       \
                prepare();                                                                                    \
                STRING(insn "b", lengths[i], back);                                                           \
                STRING(insn "w", lengths[i], back);                                                           \
                STRING(insn "l", lengths[i], back);                                                           \
                STRING(insn "q", lengths[i], back);                                                           \
                fold_target();                                                                                \
            }                                                                                                 \
    } while (0)

static void run_movs(void)
{
    STRING_ALL("movs");
    STRING_ALL("rep movs");
    STRING_ALL("addr32 rep movs"); /* ECX counts; the buffers are below 4 GiB */
}

static void run_stos(void)
{
    STRING_ALL("stos");
    STRING_ALL("rep stos");
    STRING_ALL("lods");
    STRING_ALL("rep lods");
}

static void run_cmps(void)
{
    STRING_ALL("cmps");
    STRING_ALL("repe cmps");
    STRING_ALL("repne cmps");
}

static void run_scas(void)
{
    STRING_ALL("scas");
    STRING_ALL("repe scas");
    STRING_ALL("repne scas");
    prepare();
    for (u32 at = 100; at < 160; at += 7) { /* a match in the middle */
        target[at] = 0xFF;
        STRING("repne scasb", 100, 0);
        STRING("repne scasb", 100, 1);
        target[at] = 0;
    }
    for (unsigned i = 0; i < 256; i++)
        target[i] = source[(i + 8) & 255];
    target[150] ^= 1;
    STRING("repe cmpsb", 200, 0);
    target[100] ^= 1;
    STRING("repe cmpsw", 200, 1);
}

/* Source and destination overlap: each element must see the store before it. */
static void run_overlap(void)
{
    prepare();
    for (unsigned gap = 1; gap < 20; gap += 3) {
        u64 si = (u64)(target + 10), di = si + gap, n = 100;
        asm volatile("cld; rep movsb" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
        fold_target();
        si = (u64)(target + 200), di = si - gap, n = 20;
        asm volatile("std; rep movsl; cld" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
        fold_target();
    }
}

static void run_xlat(void)
{
    prepare();
    for (u64 i = 0; i < 256; i++) {
        u64 a = i | 0x1122334455667700;
        asm volatile("xlatb" : "+a"(a) : "b"(source) : "memory");
        fold(a);
    }
}

const struct group string_groups[] = {
    {"MOVS", ALWAYS, run_movs, false},     {"STOS LODS", ALWAYS, run_stos, false},          {"CMPS", ALWAYS,
        run_cmps, false},
    {"SCAS", ALWAYS, run_scas, false},     {"REP MOVS over itself", ALWAYS, run_overlap, false}, {"XLAT", ALWAYS,
        run_xlat, false},
    {0, ALWAYS, 0, false},
};
