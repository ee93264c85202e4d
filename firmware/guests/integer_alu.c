/* ADD to DEC, MUL and DIV, and the sign extensions. */
#include "integer.h"

OP4(add, "add") OP4(adc, "adc") OP4(sub, "sub") OP4(sbb, "sbb") OP4(cmp, "cmp")
OP4(and, "and") OP4(or, "or") OP4(xor, "xor") OP4(test, "test") OP4(xadd, "xadd") OP4(xchg, "xchg")
OP4_1(inc, "inc") OP4_1(dec, "dec") OP4_1(neg, "neg") OP4_1(not, "not")
OP(mul8, "mulb %%cl") OP(mul16, "mulw %%cx") OP(mul32, "mull %%ecx") OP(mul64, "mulq %%rcx")
OP(imul8, "imulb %%cl") OP(imul16, "imulw %%cx") OP(imul32, "imull %%ecx") OP(imul64, "imulq %%rcx")
OP(imul2_16, "imulw %%cx, %%ax") OP(imul2_32, "imull %%ecx, %%eax") OP(imul2_64, "imulq %%rcx, %%rax")
OP(imul3_16, "imulw $-7, %%cx, %%ax") OP(imul3_32, "imull $0x12345, %%ecx, %%eax")
OP(imul3_64, "imulq $-0x12345, %%rcx, %%rax")
/* The dividend's high half is made smaller than the divisor, so that the quotient fits. */
OP(div8, "orb $1, %%cl; movb %%al, %%ah; shrb $1, %%ah; andb $0x7F, %%ah; orb $0x80, %%cl; divb %%cl")
OP(div16, "orw $0x8000, %%cx; movw %%ax, %%dx; shrw $1, %%dx; divw %%cx")
OP(div32, "orl $0x80000000, %%ecx; movl %%eax, %%edx; shrl $1, %%edx; divl %%ecx")
OP(div64, "btsq $63, %%rcx; movq %%rax, %%rdx; shrq $1, %%rdx; divq %%rcx")
OP(idiv8, "orb $3, %%cl; cbtw; sarw $2, %%ax; cmpb $-1, %%cl; jne 1f; incb %%cl; orb $2, %%cl; 1: idivb %%cl")
OP(idiv16, "orw $3, %%cx; sarw $1, %%ax; cwtd; idivw %%cx")
OP(idiv32, "orl $3, %%ecx; sarl $1, %%eax; cltd; idivl %%ecx")
OP(idiv64, "orq $3, %%rcx; sarq $1, %%rax; cqto; idivq %%rcx")
OP(extend, "cbtw; cwtl; cltq; cwtd; cltd; cqto; movsbl %%cl, %%r8d; movswq %%cx, %%r9; addq %%r8, %%rdx; "
   "addq %%r9, %%rdx; movslq %%ecx, %%r8; addq %%r8, %%rdx; movzbl %%cl, %%r8d; movzwl %%cx, %%r9d; "
   "addq %%r8, %%rdx; addq %%r9, %%rdx")
OP(high_bytes, "addb %%ah, %%al; subb %%al, %%ch; adcb %%dh, %%ah; xchgb %%dl, %%dh")
OP(lea_forms, "leaq -5(%%rax, %%rcx, 4), %%rdx; leal 7(%%rcx, %%rdx, 8), %%r8d; leaw (%%rax, %%rax, 2), %%r8w; "
   "addr32 leaq (%%eax, %%ecx), %%r9; addq %%r8, %%rdx; addq %%r9, %%rdx")
OP(zero_upper, "movq %%rcx, %%r8; movl %%eax, %%r8d; movq %%rcx, %%r9; movw %%ax, %%r9w; movb %%al, %%ch; "
   "movq %%r8, %%rdx; xorq %%r9, %%rdx")

static void run_add(void) { PAIRS4(add, F_ALL); PAIRS4(adc, F_ALL); }
static void run_sub(void) { PAIRS4(sub, F_ALL); PAIRS4(sbb, F_ALL); PAIRS4(cmp, F_ALL); }
static void run_logic(void) { PAIRS4(and, F_LOGIC); PAIRS4(or, F_LOGIC); PAIRS4(xor, F_LOGIC); PAIRS4(test, F_LOGIC); }
static void run_unary(void) { PAIRS4(inc, F_ALL); PAIRS4(dec, F_ALL); PAIRS4(neg, F_ALL); PAIRS4(not, F_ALL); }
static void run_xadd(void) { PAIRS4(xadd, F_ALL); PAIRS4(xchg, F_ALL); }
static void run_mul(void) { PAIRS4(mul, F_CF | F_OF); }

static void run_imul(void)
{
    PAIRS4(imul, F_CF | F_OF);
    pairs(imul2_16, F_CF | F_OF), pairs(imul2_32, F_CF | F_OF), pairs(imul2_64, F_CF | F_OF);
    pairs(imul3_16, F_CF | F_OF), pairs(imul3_32, F_CF | F_OF), pairs(imul3_64, F_CF | F_OF);
}

static void run_div(void) { PAIRS4(div, 0); PAIRS4(idiv, 0); }
static void run_move(void) { pairs(extend, 0), pairs(high_bytes, F_ALL), pairs(lea_forms, F_ALL), pairs(zero_upper,
    F_LOGIC); }

const struct group alu_groups[] = {
    {"ADD ADC", ALWAYS, run_add, false},    {"SUB SBB CMP", ALWAYS, run_sub, false}, {"AND OR XOR TEST", ALWAYS,
        run_logic, false},
    {"INC DEC NEG NOT", ALWAYS, run_unary, false}, {"XADD XCHG", ALWAYS, run_xadd, false}, {"MUL", ALWAYS, run_mul,
        false},
    {"IMUL", ALWAYS, run_imul, false},      {"DIV IDIV", ALWAYS, run_div, false},
           {"MOVSX MOVZX LEA and partial registers", ALWAYS, run_move, false},
    {0, ALWAYS, 0, false},
};
