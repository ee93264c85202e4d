/* Bare metal: switch on the vector state that the compiler was allowed to use, run, end. No vector instruction may
   come before that, so this file is compiled for general registers only. */
#include "cpu.h"
#include "program.h"

#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_OSXSAVE (1u << 18)
#define CPUID1_ECX_FMA (1u << 12)
#define CPUID1_ECX_XSAVE (1u << 26)
#define CPUID1_ECX_AVX (1u << 28)
#define CPUID7_EBX_V3 (1u << 3 | 1u << 5 | 1u << 8) /* BMI1, AVX2, BMI2 */
#define XCR0_X87_SSE_AVX 7u

int main(void)
{
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
#ifdef V3
    u32 need = CPUID1_ECX_FMA | CPUID1_ECX_XSAVE | CPUID1_ECX_AVX;
    if ((cpuid(1, 0).ecx & need) != need || (CPUID_REG(7, 0, ebx) & CPUID7_EBX_V3) != CPUID7_EBX_V3) {
        printf("skipped: the processor is not x86-64-v3\n");
        return EXIT_SKIP;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    asm volatile("xsetbv" : : "c"(0), "a"(XCR0_X87_SSE_AVX), "d"(0));
#endif
    asm volatile("fninit");
    program();
    return EXIT_PASS;
}
