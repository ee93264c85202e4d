/*
 * Every exception that 64-bit code can raise in ring 0, with its error code, saved RIP and CR2 (SDM vol. 3
 * ch. 6), IST, compatibility mode and the forms of IRET. exceptions64_user.c has ring 3.
 */
#include "exceptions64.h"

extern u64 boot_pd[];
static u8 ist_stack[4096] ALIGNED(16);
static reg_t handler_top, handler_flags;

static void divide_and_opcode(void)
{
    printf("#DE, #UD\n");
    u64 a = 1, d = 0;
    PROBE("divq %2", "+a"(a), "+d"(d) : "r"(0ull) : "cc");
    CHECK_FAULT(V_DE, 0, "DIV by 0");
    CHECK(a == 1 && d == 0, "a faulting DIV changed RAX or RDX");
    d = 1;
    PROBE("divq %2", "+a"(a), "+d"(d) : "r"(1ull) : "cc");
    CHECK_FAULT(V_DE, 0, "DIV with a quotient of 65 bits");
    a = 0x8000;
    PROBE("idivb %%cl", "+a"(a) : "c"(-1) : "cc");
    CHECK_FAULT(V_DE, 0, "IDIV -32768 / -1 in 8 bits");
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "UD2");
    PROBE(".byte 0x06");
    CHECK_FAULT(V_UD, 0, "PUSH ES in 64-bit mode");
    PROBE(".byte 0xCE");
    CHECK_FAULT(V_UD, 0, "INTO in 64-bit mode");
    PROBE(".byte 0xF0, 0x89, 0xC0");
    CHECK_FAULT_EXCEPT_TCG(V_UD, 0, "LOCK MOV"); /* QEMU 7.2 TCG ignores the prefix */
    PROBE(".byte 0x8E, 0xC8");
    CHECK_FAULT(V_UD, 0, "MOV to CS");
    PROBE("mov %%cr1, %%rax", : : "rax");
    CHECK_FAULT(V_UD, 0, "MOV from CR1");
}

static void debug_and_breakpoint(void)
{
    static volatile u32 watched;
    printf("#DB, #BP, INT n\n");
    write_dr6(0xFFFF0FF0);
    PROBE("pushfq; orl $0x100, (%%rsp); popfq; nop; stepped: nop", : : "cc", "memory");
    CHECK_TRAP_AT(V_DB, 0, LABEL(stepped), "TF traps after the instruction that follows POPF");
    CHECK((read_dr6() & 0xE00F) == 0x4000, "DR6.BS: 0x%lx", read_dr6());
    CHECK(probe_frame.flags & FLAG_TF, "the saved RFLAGS has no TF");

    write_dr6(0xFFFF0FF0);
    PROBE("movl %%ss, %%eax; pushfq; orl $0x100, (%%rsp); popfq; movl %%eax, %%ss; nop; after_ss: nop",
          : : "rax", "cc", "memory");
    CHECK_TRAP_AT(V_DB, 0, LABEL(after_ss), "MOV SS holds the step back for one instruction");

    PROBE(".byte 0xF1");
    CHECK_TRAP_EXCEPT_TCG(V_DB, 0, "INT1"); /* QEMU 7.2 TCG: #UD */
    PROBE("int3");
    CHECK_TRAP(V_BP, 0, "INT3");
    PROBE(".byte 0xCD, 3");
    CHECK_TRAP(V_BP, 0, "INT 3 in two bytes");
    PROBE("int $4");
    CHECK_TRAP(V_OF, 0, "INT 4");

    write_dr0(LABEL(broken_at));
    write_dr6(0xFFFF0FF0);
    write_dr7(0x402);
    PROBE("nop; broken_at: nop");
    CHECK_TRAP_AT(V_DB, 0, LABEL(broken_at), "an instruction breakpoint faults before the instruction");
    CHECK((read_dr6() & 0xE00F) == 1, "DR6.B0: 0x%lx", read_dr6());
    write_dr0((reg_t)&watched);
    write_dr6(0xFFFF0FF0);
    write_dr7(0xD0402); /* G0, write, 4 bytes */
    PROBE("movl $7, %0; watched_next: nop", "=m"(watched));
    CHECK_TRAP_AT(V_DB, 0, LABEL(watched_next), "a data breakpoint traps after the write");
    CHECK(watched == 7 && (read_dr6() & 0xE00F) == 1, "watched %u DR6 0x%lx", watched, read_dr6());
    write_dr7(0x400);
}

static void segments_and_gates(void)
{
    struct {
        u32 offset;
        u16 selector;
    } __attribute__((packed)) far = {0, SEL_KDATA};
    printf("#NP, #SS, #GP with selectors\n");
    gdt_set(SEL_TEST, 0x00CF13000000FFFF); /* data, P clear */
    PROBE("mov %w0, %%fs", : "r"(SEL_TEST));
    CHECK_FAULT(V_NP, SEL_TEST, "FS := descriptor not present");
    PROBE("mov %w0, %%ss", : "r"(SEL_TEST));
    CHECK_FAULT(V_SS, SEL_TEST, "SS := descriptor not present");
    PROBE("mov %w0, %%fs", : "r"(0x1000));
    CHECK_FAULT(V_GP, 0x1000, "FS := selector beyond the GDT");
    PROBE("mov %w0, %%ss", : "r"(SEL_KCODE));
    CHECK_FAULT(V_GP, SEL_KCODE, "SS := code segment");
    PROBE("ltr %w0", : "r"(SEL_TSS));
    CHECK_FAULT(V_GP, SEL_TSS, "LTR of a busy TSS");
    PROBE("lldt %w0", : "r"(SEL_KDATA));
    CHECK_FAULT(V_GP, SEL_KDATA, "LLDT of a data segment");
    PROBE("ljmp *%0", : "m"(far));
    CHECK_FAULT(V_GP, SEL_KDATA, "far JMP to a data segment");
    gdt_set(SEL_TEST, 0x00AF1B000000FFFF); /* code, P clear */
    far.selector = SEL_TEST;
    PROBE("ljmp *%0", : "m"(far));
    CHECK_FAULT(V_NP, SEL_TEST, "far JMP to a segment not present");

    /* The index of an IDT error code is the vector; QEMU 7.2 TCG doubles it in long mode. */
    gate_set(0x90, 0xE, 0, false);
    PROBE("int $0x90");
    CHECK_FAULT_EXCEPT_TCG(V_NP, 0x90 * 8 + IDT_BIT, "INT through a gate not present");
    gate_set(0x90, 0x2, 0, true);
    PROBE("int $0x90");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0x90 * 8 + IDT_BIT, "INT through something that is no gate");
    gate_set(V_UD, 0xE, 0, false);
    PROBE("ud2");
    CHECK_FAULT_EXCEPT_TCG(V_NP, V_UD * 8 + IDT_BIT + EXT_BIT, "#UD through a gate not present");
    gate_set(V_UD, 0xE, 0, true);
}

static void protection(void)
{
    printf("#GP(0), #SS(0)\n");
    PROBE("movq (%0), %%rax", : "r"(NONCANONICAL) : "rax");
    CHECK_FAULT(V_GP, 0, "load from a non-canonical address");
    PROBE("movb (%%rsp, %0), %%al", : "r"(NONCANONICAL) : "rax");
    CHECK_FAULT_EXCEPT_TCG(V_SS, 0, "load through RSP from a non-canonical address"); /* TCG: #GP */
    if (on_qemu_tcg()) {
        printf("left out on QEMU TCG, which does not check these and goes astray: illegal CR0 and CR4\n");
    } else {
        PROBE("mov %0, %%cr4", : "r"((reg_t)1 << 31));
        CHECK_FAULT(V_GP, 0, "a reserved bit of CR4");
        PROBE("mov %0, %%cr0", : "r"(read_cr0() & ~(reg_t)CR0_PE));
        CHECK_FAULT(V_GP, 0, "CR0.PG without CR0.PE");
        PROBE("mov %0, %%cr4", : "r"(read_cr4() & ~(reg_t)CR4_PAE));
        CHECK_FAULT(V_GP, 0, "CR4.PAE := 0 in long mode");
    }
    PROBE("wrmsr", : "a"(0), "d"(0x80000000), "c"(MSR_LSTAR));
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "WRMSR of a non-canonical LSTAR"); /* TCG stores any value */
    PROBE("rdmsr", : "c"(0x1234567) : "rax", "rdx");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "RDMSR of an unknown register"); /* TCG reads 0 */
    PROBE("jmp *%0", : "r"(NONCANONICAL));
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "JMP to a non-canonical address"); /* TCG faults at the target */
}

static void page_faults(void)
{
    bool nx = CPUID_REG(0x80000001, 0, edx) & 1u << 20;
    volatile u8 *page = (u8 *)0x1000000; /* the ninth 2 MiB page */
    printf("#PF\n");
    PROBE("movb (%0), %%al", : "r"(UNMAPPED + 5) : "rax");
    CHECK_FAULT(V_PF, 0, "read of a page not present");
    CHECK(probe_frame.cr2 == UNMAPPED + 5, "CR2 0x%llx", (u64)probe_frame.cr2);
    PROBE("movb $1, (%0)", : "r"(UNMAPPED + 9) : "memory");
    CHECK_FAULT(V_PF, 2, "write of a page not present");
    CHECK(probe_frame.cr2 == UNMAPPED + 9, "CR2 0x%llx", (u64)probe_frame.cr2);
    PROBE("movq (%0), %%rax", : "r"(0xFFFFFFFCull) : "rax");
    CHECK_FAULT(V_PF, 0, "read across the end of the last page");
    CHECK(probe_frame.cr2 == 0x100000000, "CR2 0x%llx, not the first byte that is missing", (u64)probe_frame.cr2);
    PROBE("jmp *%0", : "r"(UNMAPPED));
    CHECK_TRAP_AT(V_PF, 0, UNMAPPED, "fetch of a page not present, EFER.NXE = 0");

    boot_pd[8] &= ~2ull;
    invlpg(page);
    write_cr0(read_cr0() & ~(reg_t)CR0_WP);
    *page = 1;
    CHECK(*page == 1, "ring 0 writes a read-only page while CR0.WP = 0");
    write_cr0(read_cr0() | CR0_WP);
    PROBE("movb $2, (%0)", : "r"(page) : "memory");
    CHECK_FAULT(V_PF, 3, "write of a read-only page with CR0.WP = 1");
    CHECK(*page == 1, "the faulting write was done");
    if (nx) {
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
        PROBE("jmp *%0", : "r"(UNMAPPED));
        CHECK_TRAP_AT(V_PF, 0x10, UNMAPPED, "fetch of a page not present, EFER.NXE = 1");
        boot_pd[8] |= 1ull << 63;
        invlpg(page);
        PROBE("jmp *%0", : "r"(page));
        CHECK_TRAP_AT(V_PF, 0x11, (reg_t)page, "fetch of a no-execute page");
        boot_pd[8] &= ~(1ull << 63);
    }
    write_cr0(read_cr0() & ~(reg_t)CR0_WP);
    boot_pd[8] |= 2;
    invlpg(page);
}

static void on_ist(struct trap_frame *f)
{
    handler_top = (reg_t)(f + 1);
    probe_handler(f);
}

static void double_fault(void)
{
    printf("#DF through IST\n");
    reg_t top = (reg_t)ist_stack + sizeof ist_stack;
    set_handler(V_DF, on_ist);
    ist_set(V_DF, 1, (void *)top);
    gate_set(V_GP, 0xE, 0, false);
    PROBE("movq (%0), %%rax", : "r"(NONCANONICAL) : "rax");
    CHECK_FAULT(V_DF, 0, "#GP, then #NP for its gate");
    CHECK(handler_top == top, "the frame is not on the IST stack: 0x%lx", handler_top);
    gate_set(V_GP, 0xE, 0, true);

    ist_set(V_PF, 2, (void *)(UNMAPPED + 0x1000));
    PROBE("movb (%0), %%al", : "r"(UNMAPPED + 0x2000) : "rax");
    CHECK_FAULT(V_DF, 0, "#PF, then #PF on the handler's stack");
    CHECK(probe_frame.cr2 == UNMAPPED + 0xFF8, "CR2 0x%llx: not the second fault's", (u64)probe_frame.cr2);
    ist_set(V_PF, 0, 0);

    ist_set(V_UD, 1, (void *)(top - 8));
    set_handler(V_UD, on_ist);
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "#UD on an unaligned IST stack");
    CHECK(handler_top == top - 16, "RSP was not aligned down to 16: 0x%lx", handler_top);
    ist_set(V_UD, 0, 0);
    set_handler(V_UD, probe_handler);
}

static void save_flags(struct trap_frame *f)
{
    (void)f;
    handler_flags = read_flags();
}

static void gate_types(void)
{
    printf("interrupt and trap gates\n");
    pic_mask(0xFFFF); /* IF is going to be 1 */
    set_handler(0x91, save_flags);
    asm volatile("sti; int $0x91; cli" : : : "memory", "cc");
    CHECK(!(handler_flags & FLAG_IF), "an interrupt gate left IF set");
    gate_set(0x91, 0xF, 0, true);
    asm volatile("sti; int $0x91; cli" : : : "memory", "cc");
    CHECK(handler_flags & FLAG_IF, "a trap gate cleared IF");
    asm volatile("pushfq; orl $0x4000, (%%rsp); popfq; int $0x91; pushfq; andl $~0x4000, (%%rsp); "
                 "popfq" : : : "memory", "cc");
    CHECK(!(handler_flags & FLAG_NT), "NT reached the handler");
}

static void iret_forms(void)
{
    reg_t sp = 0, want = 0;
    printf("IRET\n");
    asm volatile("movq %%rsp, %%rbx; leaq -256(%%rsp), %1; pushq $0x10; pushq %1; pushfq; pushq $8; pushq $1f; iretq\n"
                 "1: movq %%rsp, %0; movq %%rbx, %%rsp" : "=&r"(sp), "=&r"(want) : : "rbx", "memory", "cc");
    CHECK(sp == want, "IRETQ in one ring loads RSP: 0x%lx, not 0x%lx", sp, want);
    asm volatile("movq %%rsp, %%rbx; leaq -256(%%rsp), %1; subq $20, %%rsp; movl $1f, (%%rsp); movl $8, 4(%%rsp)\n"
                 "movl $2, 8(%%rsp); movl %k1, 12(%%rsp); movl $0x10, 16(%%rsp); iretl\n"
                 "1: movq %%rsp, %0; movq %%rbx, %%rsp" : "=&r"(sp), "=&r"(want) : : "rbx", "memory", "cc");
    CHECK(sp == want, "IRETD pops five doublewords: 0x%lx, not 0x%lx", sp, want);
    PROBE("pushq $0x10; pushq %%rsp; pushfq; pushq $0; pushq $1f; iret_null: iretq; 1:", : : "memory");
    CHECK_TRAP_AT(V_GP, 0, LABEL(iret_null), "IRETQ to a null CS");
    PROBE("pushq $0x10; pushq %%rsp; pushfq; pushq $0x10; pushq $1f; iret_data: iretq; 1:", : : "memory");
    CHECK_TRAP_AT(V_GP, SEL_KDATA, LABEL(iret_data), "IRETQ to a data segment");
    PROBE("pushfq; orl $0x4000, (%%rsp); popfq; iret_nt: iretq", : : "memory", "cc");
    CHECK_TRAP_AT(V_GP, 0, LABEL(iret_nt), "IRETQ with NT set");
    write_flags(read_flags() & ~(reg_t)FLAG_NT);

    printf("compatibility mode\n");
    compat_call(compat_into);
    CHECK_TRAP(V_OF, 0, "INTO in compatibility mode");
    CHECK(probe_frame.cs == SEL_KCODE32, "CS 0x%llx", (u64)probe_frame.cs);
    compat_call(compat_bound);
    CHECK_FAULT(V_BR, 0, "BOUND in compatibility mode");
}

int main(void)
{
    trap_init();
    probe_init();
    divide_and_opcode();
    debug_and_breakpoint();
    segments_and_gates();
    protection();
    page_faults();
    double_fault();
    gate_types();
    iret_forms();
    ring3();
    return check_report("exceptions64");
}
