/*
 * Real-mode exceptions and interrupts through the IVT (SDM vol. 3 §21.1.4): FLAGS, CS and IP are pushed, no
 * error code; IRET in both operand sizes; an IVT moved by LIDT.
 */
#include "sdk.h"

static u16 seen_sp, seen_flags;
static volatile u16 *const low = (u16 *)0x500;

static void basics(void)
{
    static const u16 bounds[2] = {5, 10};
    u16 a = 1, d = 0;
    printf("#DE, #DB, #BP, #OF, #BR, #UD\n");
    PROBE("divw %2", "+a"(a), "+d"(d) : "r"((u16)0) : "cc");
    CHECK_FAULT(V_DE, 0, "DIV by 0");
    PROBE("aam $0", : : "eax", "cc");
    CHECK_FAULT(V_DE, 0, "AAM 0");
    PROBE("pushfw; movw %%sp, %%bx; orw $0x100, (%%bx); popfw; nop; stepped: nop", : : "ebx", "cc", "memory");
    CHECK_TRAP_AT(V_DB, 0, LABEL(stepped), "TF traps after the instruction that follows POPF");
    PROBE("int3");
    CHECK_TRAP(V_BP, 0, "INT3");
    PROBE("movw $0x7FFF, %%ax; incw %%ax; into", : : "eax", "cc");
    CHECK_TRAP(V_OF, 0, "INTO with OF = 1");
    PROBE("boundw %w0, %1", : "r"(11), "m"(bounds));
    CHECK_FAULT(V_BR, 0, "BOUND above the upper bound");
    PROBE("boundw %w0, %1", : "r"(10), "m"(bounds));
    CHECK_NO_TRAP("BOUND at the upper bound");
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "UD2");
    PROBE("ltr %w0", : "r"(0));
    CHECK_FAULT(V_UD, 0, "LTR in real mode");
    PROBE(".byte 0xF0, 0x90");
    CHECK_FAULT(V_UD, 0, "LOCK NOP");
}

static void limits(void)
{
    printf("segment limits: #GP, #SS\n");
    PROBE("movw (%0), %%ax", : "b"(0xFFFF) : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "word at offset FFFF"); /* TCG checks no limits */
    PROBE("movb (%0), %%al", : "b"(0xFFFF) : "eax");
    CHECK_NO_TRAP("byte at offset FFFF");
    PROBE("addr32 movb (%0), %%al", : "b"(0x10000) : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "32-bit offset 10000");
    PROBE("addr32 movb (%%esp, %0), %%al", : "b"(0x10000) : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_SS, 0, "32-bit offset over 10000 through ESP");
}

static void note(struct trap_frame *f)
{
    seen_sp = (u16)(reg_t)(f + 1);
    seen_flags = (u16)read_flags();
}

static void interrupts(void)
{
    u32 sp = 0, after = 0;
    printf("INT n and IRET\n");
    pic_mask(0xFFFF); /* IF is going to be 1 */
    set_handler(0x61, note);
    asm volatile("movl %%esp, %0; sti; int $0x61; pushfl; popl %1; cli" : "=&r"(sp), "=&r"(after) : : "memory", "cc");
    CHECK(!(seen_flags & FLAG_IF), "INT left IF set");
    CHECK(after & FLAG_IF, "IRET did not bring IF back");
    CHECK(seen_sp == (u16)sp, "three words on the stack: 0x%x, not 0x%x", seen_sp, sp);

    asm volatile("movl %%esp, %%ebx; pushfl; orl $1, (%%esp); pushl $0; pushl $1f; iretl\n"
                 "1: sbbl %0, %0; movl %%esp, %1; subl %%ebx, %1" : "=&r"(after), "=&r"(sp) : : "ebx", "memory", "cc");
    CHECK(after == 0xFFFFFFFF && sp == 0, "IRETD: CF %x, stack off by %d", after, (int)sp);

    /* IP wraps in 16 bits, CS counts in paragraphs: 0010:label - 0x100 is 0000:label. */
    asm volatile("pushfw; pushw $0x10; pushw $1f - 0x100; iretw\n"
                 "1: movw %%cs, %w0; ljmp $0, $2f\n2:" : "=r"(after) : : "memory");
    CHECK((u16)after == 0x10, "IRET loaded CS %x", (u16)after);
}

static void moved_ivt(void)
{
    struct {
        u16 limit;
        u32 base;
    } __attribute__((packed)) moved = {0x7F, 0x500}, home = {0x3FF, 0};
    printf("LIDT\n");
    const volatile u16 *ivt = 0;
    for (unsigned i = 0; i < 0x40; i++)
        low[i] = ivt[i];
    low[V_BP * 2] = ivt[0x61 * 2];
    low[V_BP * 2 + 1] = 0;
    seen_sp = 0;
    asm volatile("lidtl %0; int3; lidtl %1" : : "m"(moved), "m"(home) : "memory");
    CHECK(seen_sp != 0, "INT3 did not use the table at 0x500");
}

int main(void)
{
    trap_init();
    probe_init();
    basics();
    limits();
    interrupts();
    moved_ivt();
    return check_report("exceptions16");
}
