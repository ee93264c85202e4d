/* Carry chains, byte orders, CRC32, compare-and-exchange, conditions, flags and stack frames. */
#include "integer.h"

OP(adcx32, "adcxl %%ecx, %%eax; adoxl %%ecx, %%edx") OP(adcx64, "adcxq %%rcx, %%rax; adoxq %%rcx, %%rdx")
OP(bswap, "bswapl %%eax; bswapq %%rcx")
OP(movbe, "pushq %%rcx; movbeq (%%rsp), %%rax; movbel 2(%%rsp), %%edx; movbew 5(%%rsp), %%r8w; movzwl %%r8w, %%r8d; "
   "addq %%r8, %%rdx; movbel %%eax, 1(%%rsp); popq %%rcx")
OP(crc, "crc32b %%cl, %%eax; crc32w %%cx, %%eax; crc32l %%ecx, %%eax; crc32q %%rcx, %%rax; crc32b %%ch, %%edx")
OP4(cmpxchg, "cmpxchg")
OP(cmpxchg_equal, "movq %%rax, %%r8; cmpxchgq %%rcx, %%r8; movq %%r8, %%rdx")
OP(cmpxchg_memory, "pushq %%rcx; movl %%eax, (%%rsp); lock cmpxchgl %%edx, (%%rsp); lock cmpxchgb %%dl, 5(%%rsp); "
   "popq %%rcx")
OP(locked, "pushq %%rcx; lock addq %%rax, (%%rsp); lock incw 2(%%rsp); lock xaddl %%edx, 4(%%rsp); "
   "lock btsq $17, (%%rsp); lock negb 1(%%rsp); popq %%rcx")
OP(cmpxchg8b, "pushq %%rbx; pushq %%rcx; movl %%eax, %%ebx; cmpxchg8b (%%rsp); setz %%r8b; lock cmpxchg8b (%%rsp); "
   "setz %%bl; shlb $1, %%bl; orb %%bl, %%r8b; movzbl %%r8b, %%r8d; popq %%rcx; addq %%r8, %%rcx; popq %%rbx")
OP(cmpxchg16b, "pushq %%rbx; pushq %%rbp; movq %%rsp, %%rbp; andq $-16, %%rsp; pushq %%rcx; pushq %%rax; "
   "movq %%rdx, %%rbx; cmpxchg16b (%%rsp); setz %%r8b; lock cmpxchg16b (%%rsp); setz %%bl; shlb $1, %%bl; "
   "orb %%bl, %%r8b; movzbl %%r8b, %%r8d; popq %%r9; popq %%rcx; addq %%r8, %%r9; addq %%r9, %%rcx; "
   "movq %%rbp, %%rsp; popq %%rbp; popq %%rbx")
#define COND(cc)                                                                            \
    OP(cond_##cc, "cmpq %%rcx, %%rax; set" #cc " %%dl; cmov" #cc "q %%rcx, %%rax; cmov" #cc   \
       "l %%edx, %%ecx; cmov" #cc "w %%ax, %%dx; j" #cc " 1f; notq %%rdx; 1:")
COND(o) COND(no) COND(b) COND(ae) COND(e) COND(ne) COND(be) COND(a)
COND(s) COND(ns) COND(p) COND(np) COND(l) COND(ge) COND(le) COND(g)
OP(lahf, "lahf; movzbl %%ah, %%edx; movb %%cl, %%ah; sahf; lahf")
OP(carry, "cmc; setc %%al; stc; setc %%ah; clc; setc %%cl; cmc")
OP(enter0, "pushq %%rbp; enter $32, $0; movq %%rax, -8(%%rbp); movq %%rcx, -32(%%rbp); movq (%%rsp), %%rdx; leave; "
   "popq %%rbp")
/* The display: ENTER copies two frame pointers (here RAX and RCX) and pushes the new one. */
OP(enter3, "pushq %%rbp; pushq %%rax; pushq %%rcx; leaq 16(%%rsp), %%rbp; enter $16, $3; movq -24(%%rbp), %%rdx; "
   "subq %%rsp, %%rdx; xorq -8(%%rbp), %%rdx; subq -16(%%rbp), %%rdx; leave; addq $16, %%rsp; popq %%rbp")
OP(push_forms, "pushq $-3; pushw %%ax; pushw $0x1234; popw %%cx; popw %%dx; popq %%r8; addq %%r8, %%rdx")
OP(loops, "movl $0, %%edx; movzbl %%cl, %%ecx; incl %%ecx; 1: addl %%ecx, %%edx; loop 1b; movl $5, %%ecx; "
   "2: cmpl $3, %%ecx; loopne 2b; jrcxz 3f; incl %%edx; 3:")

static void run_adx(void) { pairs(adcx32, F_CF | F_OF), pairs(adcx64, F_CF | F_OF); }
static void run_bswap(void) { pairs(bswap, F_ALL); }
static void run_movbe(void) { pairs(movbe, 0); }
static void run_crc(void) { pairs(crc, F_ALL); }

static void run_cmpxchg(void)
{
    PAIRS4(cmpxchg, F_ALL);
    pairs(cmpxchg_equal, F_ALL), pairs(cmpxchg_memory, F_ALL), pairs(locked, F_ALL), pairs(cmpxchg8b, 0);
}

static void run_cmpxchg16b(void) { pairs(cmpxchg16b, 0); }

static void run_conditions(void)
{
    void (*const all[])(struct op *) = {cond_o, cond_no, cond_b, cond_ae, cond_e, cond_ne, cond_be, cond_a,
                                        cond_s, cond_ns, cond_p, cond_np, cond_l, cond_ge, cond_le, cond_g};
    for (unsigned i = 0; i < 16; i++)
        pairs(all[i], F_ALL);
}

static void run_flags(void) { pairs(lahf, F_ALL), pairs(carry, F_ALL); }
static void run_stack(void) { pairs(enter0, F_ALL), pairs(enter3, 0), pairs(push_forms, F_ALL), pairs(loops, 0); }

const struct group more_groups[] = {
    {"ADCX ADOX", ADX, run_adx, true},
    {"BSWAP", ALWAYS, run_bswap, false},
    {"MOVBE", MOVBE, run_movbe, false},
    {"CRC32", SSE42, run_crc, false},
    {"CMPXCHG CMPXCHG8B LOCK", ALWAYS, run_cmpxchg, false},
    {"CMPXCHG16B", CX16, run_cmpxchg16b, false},
    {"SETcc CMOVcc Jcc", ALWAYS, run_conditions, false},
    {"LAHF SAHF CMC STC CLC", ALWAYS, run_flags, false},
    {"ENTER LEAVE PUSH POP LOOP", ALWAYS, run_stack, false},
    {0, ALWAYS, 0, false},
};
