/*
 * The integer instruction set checks itself: each group's results and defined flags give a CRC-32, compared with
 * the value that real processors give (integer_expected.h; see host/ for how it is made).
 */
#include "integer_expected.h"
#include "integer_run.h"
#include "sdk.h"

static bool offered(enum need need)
{
    u32 ecx1 = CPUID_REG(1, 0, ecx), ebx7 = CPUID_REG(7, 0, ebx), amd = CPUID_REG(0x80000001, 0, ecx);
    switch (need) {
    case POPCNT: return ecx1 & 1u << 23;
    case LZCNT: return amd & 1u << 5;
    case BMI1: return ebx7 & 1u << 3;
    case BMI2: return ebx7 & 1u << 8;
    case ADX: return ebx7 & 1u << 19;
    case MOVBE: return ecx1 & 1u << 22;
    case SSE42: return ecx1 & 1u << 20;
    case CX16: return ecx1 & 1u << 13;
    default: return true;
    }
}

int main(void)
{
    static const struct group *const sets[] = {alu_groups, bit_groups, more_groups, string_groups};
    unsigned at = 0;
    trap_init();
    for (unsigned s = 0; s < ARRAY_LEN(sets); s++)
        for (const struct group *g = sets[s]; g->run; g++, at++) {
            if (!offered(g->need)) {
                printf("%-40s not offered by CPUID\n", g->name);
                continue;
            }
            u32 crc = run_group(g);
            printf("%-40s %08x\n", g->name, crc);
            if (g->tcg_differs)
                CHECK_EXCEPT_TCG(crc == expected[at], "%s: %08x, expected %08x", g->name, crc, expected[at]);
            else
                CHECK(crc == expected[at], "%s: %08x, expected %08x", g->name, crc, expected[at]);
        }
    return check_report("integer");
}
