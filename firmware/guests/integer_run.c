/* The operand sets and the CRC of the integer guest; free of the SDK, for it is built for user mode too. */
#include "integer_run.h"

static u32 crc;

void fold(u64 v)
{
    for (int byte = 0; byte < 8; byte++) {
        crc ^= (u8)(v >> 8 * byte);
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
}

static const u64 edges[] = {
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
    0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0x0123456789ABCDEF, 0xFEDCBA9876543210,
        0x5555AAAA3333CCCC,
};

static void once(void (*fn)(struct op *), u64 a, u64 b, u64 flags, u32 mask)
{
    struct op o = {a, b, a * 3 + ~b, 2 | flags};
    fn(&o);
    fold(o.a), fold(o.b), fold(o.c), fold(o.flags & mask);
}

void pairs(void (*fn)(struct op *), u32 mask)
{
    for (unsigned i = 0; i < ARRAY_LEN(edges); i++)
        for (unsigned j = 0; j < ARRAY_LEN(edges); j++)
            once(fn, edges[i], edges[j], (i + j) & 1 ? F_ALL : 0, mask), once(fn, edges[i], edges[j], F_CF | F_ZF,
                mask);
}

void counts(void (*fn)(struct op *), u32 (*mask_of)(u32), u32 width)
{
    static const u8 each[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 18, 24, 27, 31, 32, 33, 40, 63, 64, 65, 128, 255};
    u32 modulus = width == 64 ? 64 : 32;
    for (unsigned i = 0; i < ARRAY_LEN(edges); i++)
        for (unsigned j = 0; j < ARRAY_LEN(each); j++) {
            u32 n = each[j] % modulus;
            if (width == 0 && n > 16) /* SHLD and SHRD of 16 bits: undefined above 16 */
                continue;
            once(fn, edges[i], each[j], j & 1 ? F_ALL : 0, mask_of(n));
        }
}

u32 run_group(const struct group *g)
{
    crc = 0xFFFFFFFF;
    g->run();
    return ~crc;
}
