/* Shifts, rotates, bit tests and scans, BMI1 and BMI2. */
#include "integer.h"

OP4_CL(rol, "rol") OP4_CL(ror, "ror") OP4_CL(rcl, "rcl") OP4_CL(rcr, "rcr")
OP4_CL(shl, "shl") OP4_CL(shr, "shr") OP4_CL(sar, "sar")
OP(shld16, "shldw %%cl, %%dx, %%ax") OP(shld32, "shldl %%cl, %%edx, %%eax") OP(shld64, "shldq %%cl, %%rdx, %%rax")
OP(shrd16, "shrdw %%cl, %%dx, %%ax") OP(shrd32, "shrdl %%cl, %%edx, %%eax") OP(shrd64, "shrdq %%cl, %%rdx, %%rax")
OP(shift1, "shlb $1, %%al; sarw $1, %%cx; rclq $1, %%rdx; rcrl $1, %%eax; rorq $1, %%rcx")
OP(bt16, "btw %%cx, %%ax") OP(bt32, "btl %%ecx, %%eax") OP(bt64, "btq %%rcx, %%rax")
OP(bts16, "btsw %%cx, %%ax") OP(bts32, "btsl %%ecx, %%eax") OP(bts64, "btsq %%rcx, %%rax")
OP(btr16, "btrw %%cx, %%ax") OP(btr32, "btrl %%ecx, %%eax") OP(btr64, "btrq %%rcx, %%rax")
OP(btc16, "btcw %%cx, %%ax") OP(btc32, "btcl %%ecx, %%eax") OP(btc64, "btcq %%rcx, %%rax")
/* A bit string in memory: the offset reaches before and behind the operand. */
OP(bt_memory, "pushq %%rax; pushq %%rcx; pushq %%rdx; movsbq %%cl, %%rcx; andq $63, %%rcx; subq $32, %%rcx; "
   "btcq %%rcx, 8(%%rsp); btsl %%ecx, 8(%%rsp); btrw %%cx, 8(%%rsp); popq %%rdx; popq %%rcx; popq %%rax")
/* BSF and BSR leave the destination undefined for 0: the source is made nonzero. */
OP(bsf16, "orw $0x8000, %%cx; bsfw %%cx, %%ax") OP(bsf32, "btsl $31, %%ecx; bsfl %%ecx, %%eax")
OP(bsf64, "btsq $63, %%rcx; bsfq %%rcx, %%rax")
OP(bsr16, "orw $1, %%cx; bsrw %%cx, %%ax") OP(bsr32, "orl $1, %%ecx; bsrl %%ecx, %%eax")
OP(bsr64, "orq $1, %%rcx; bsrq %%rcx, %%rax")
OP(bsf_zero, "xorl %%ecx, %%ecx; movl $7, %%eax; bsfq %%rcx, %%r8")
OP(popcnt16, "popcntw %%cx, %%ax") OP(popcnt32, "popcntl %%ecx, %%eax") OP(popcnt64, "popcntq %%rcx, %%rax")
OP(lzcnt16, "lzcntw %%cx, %%ax") OP(lzcnt32, "lzcntl %%ecx, %%eax") OP(lzcnt64, "lzcntq %%rcx, %%rax")
OP(tzcnt16, "tzcntw %%cx, %%ax") OP(tzcnt32, "tzcntl %%ecx, %%eax") OP(tzcnt64, "tzcntq %%rcx, %%rax")
OP(andn32, "andnl %%ecx, %%eax, %%edx") OP(andn64, "andnq %%rcx, %%rax, %%rdx")
OP(bextr32, "bextrl %%ecx, %%eax, %%edx") OP(bextr64, "bextrq %%rcx, %%rax, %%rdx")
OP(blsi32, "blsil %%ecx, %%edx") OP(blsi64, "blsiq %%rcx, %%rdx")
OP(blsr32, "blsrl %%ecx, %%edx") OP(blsr64, "blsrq %%rcx, %%rdx")
OP(blsmsk32, "blsmskl %%ecx, %%edx") OP(blsmsk64, "blsmskq %%rcx, %%rdx")
OP(bzhi32, "bzhil %%ecx, %%eax, %%edx") OP(bzhi64, "bzhiq %%rcx, %%rax, %%rdx")
OP(mulx32, "mulxl %%ecx, %%eax, %%edx") OP(mulx64, "mulxq %%rcx, %%rax, %%rdx")
OP(pdep32, "pdepl %%ecx, %%eax, %%edx") OP(pdep64, "pdepq %%rcx, %%rax, %%rdx")
OP(pext32, "pextl %%ecx, %%eax, %%edx") OP(pext64, "pextq %%rcx, %%rax, %%rdx")
OP(rorx, "rorxl $13, %%ecx, %%edx; rorxq $37, %%rax, %%rcx")
OP(shiftx, "shlxq %%rcx, %%rax, %%rdx; shrxl %%ecx, %%eax, %%r8d; sarxq %%rcx, %%rax, %%r9; xorq %%r8, %%rdx; "
   "movq %%r9, %%rcx")

/* Undefined (SDM vol. 2): AF unless the count is 0; OF for counts above 1; CF for SHL, SHR by the width or more. */
static u32 shift_mask(u32 n) { return n == 0 ? F_ALL : n == 1 ? F_LOGIC : F_LOGIC & ~F_OF; }
static u32 shift_narrow_mask(u32 n) { return n >= 8 ? F_LOGIC & ~(F_OF | F_CF) : shift_mask(n); }
static u32 shift_word_mask(u32 n) { return n >= 16 ? F_LOGIC & ~(F_OF | F_CF) : shift_mask(n); }
static u32 rotate_mask(u32 n) { return n <= 1 ? F_ALL : F_ALL & ~F_OF; }
/* A double shift of 16 bits by more than 16 has an undefined result too: counts() leaves those out. */
static u32 double_mask(u32 n) { return shift_mask(n); }

#define COUNTS4(name, m8, m16, m) \
    (counts(name##8, m8, 8), counts(name##16, m16, 16), counts(name##32, m, 32), counts(name##64, m, 64))
#define PAIRS3(name, mask) (pairs(name##16, mask), pairs(name##32, mask), pairs(name##64, mask))
#define PAIRS2(name, mask) (pairs(name##32, mask), pairs(name##64, mask))

static void run_shift(void)
{
    COUNTS4(shl, shift_narrow_mask, shift_word_mask, shift_mask);
    COUNTS4(shr, shift_narrow_mask, shift_word_mask, shift_mask);
    COUNTS4(sar, shift_mask, shift_mask, shift_mask);
    pairs(shift1, F_CF);
}

static void run_rotate(void)
{
    COUNTS4(rol, rotate_mask, rotate_mask, rotate_mask);
    COUNTS4(ror, rotate_mask, rotate_mask, rotate_mask);
    COUNTS4(rcl, rotate_mask, rotate_mask, rotate_mask);
    COUNTS4(rcr, rotate_mask, rotate_mask, rotate_mask);
}

static void run_double(void)
{
    counts(shld16, double_mask, 0), counts(shld32, double_mask, 32), counts(shld64, double_mask, 64);
    counts(shrd16, double_mask, 0), counts(shrd32, double_mask, 32), counts(shrd64, double_mask, 64);
}

static void run_bt(void)
{
    /* ZF is unchanged; OF, SF, AF and PF are undefined */
    PAIRS3(bt, F_CF | F_ZF), PAIRS3(bts, F_CF | F_ZF), PAIRS3(btr, F_CF | F_ZF), PAIRS3(btc, F_CF | F_ZF);
    pairs(bt_memory, F_CF | F_ZF);
}

static void run_scan(void) { PAIRS3(bsf, F_ZF), PAIRS3(bsr, F_ZF), pairs(bsf_zero, F_ZF); }
static void run_popcnt(void) { PAIRS3(popcnt, F_ALL); }
static void run_lzcnt(void) { PAIRS3(lzcnt, F_CF | F_ZF); }

static void run_bmi1(void)
{
    PAIRS3(tzcnt, F_CF | F_ZF), PAIRS2(andn, F_ALL & ~(F_AF | F_PF)), PAIRS2(bextr, F_ZF | F_CF | F_OF);
    PAIRS2(blsi, F_ALL & ~(F_AF | F_PF)), PAIRS2(blsr, F_ALL & ~(F_AF | F_PF)), PAIRS2(blsmsk,
        F_CF | F_ZF | F_SF | F_OF);
}

static void run_bmi2(void)
{
    PAIRS2(bzhi, F_ALL & ~(F_AF | F_PF)), PAIRS2(mulx, F_ALL), PAIRS2(pdep, F_ALL), PAIRS2(pext, F_ALL);
    pairs(rorx, F_ALL), pairs(shiftx, F_ALL);
}

const struct group bit_groups[] = {
    {"SHL SHR SAR", ALWAYS, run_shift, false}, {"ROL ROR RCL RCR", ALWAYS, run_rotate, false}, {"SHLD SHRD", ALWAYS,
        run_double, false},
    {"BT BTS BTR BTC", ALWAYS, run_bt, false}, {"BSF BSR", ALWAYS, run_scan, false},           {"POPCNT", POPCNT,
        run_popcnt, false},
    {"LZCNT", LZCNT, run_lzcnt, false},        {"BMI1", BMI1, run_bmi1, true},                {"BMI2", BMI2,
        run_bmi2, false},
    {0, ALWAYS, 0, false},
};
