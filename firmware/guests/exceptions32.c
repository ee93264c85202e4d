/*
 * Exceptions of 32-bit protected mode: segment limits, INTO, BOUND, #TS, #PF with 4 MiB pages, ring 3 and #AC
 * (SDM vol. 3 ch. 6). QEMU's TCG checks no segment limits.
 */
#include "sdk.h"

#define EXT_BIT 1u
#define IDT_BIT 2u
#define UNMAPPED 0xC0000000u
#define SUPERVISOR_PAGE 0xC00000u

static u32 page_directory[1024] ALIGNED(4096);
static struct {
    reg_t top, sp;
    u32 frame_sp, frame_ss, frame_cs;
} change;

static void basics(void)
{
    static const s32 bounds[2] = {-5, 10};
    u32 a = 1, d = 0;
    printf("#DE, #DB, #BP, #OF, #BR, #UD\n");
    PROBE("divl %2", "+a"(a), "+d"(d) : "r"(0) : "cc");
    CHECK_FAULT(V_DE, 0, "DIV by 0");
    d = 1;
    PROBE("divl %2", "+a"(a), "+d"(d) : "r"(1) : "cc");
    CHECK_FAULT(V_DE, 0, "DIV with a quotient of 33 bits");
    PROBE("aam $0", : : "eax", "cc");
    CHECK_FAULT(V_DE, 0, "AAM 0");
    write_dr6(0xFFFF0FF0);
    PROBE("pushfl; orl $0x100, (%%esp); popfl; nop; stepped: nop", : : "cc", "memory");
    CHECK_TRAP_AT(V_DB, 0, LABEL(stepped), "TF traps after the instruction that follows POPF");
    CHECK((read_dr6() & 0xE00F) == 0x4000, "DR6.BS: 0x%lx", (unsigned long)read_dr6());
    PROBE("int3");
    CHECK_TRAP(V_BP, 0, "INT3");
    PROBE("movl $0x7FFFFFFF, %%eax; incl %%eax; into", : : "eax", "cc");
    CHECK_TRAP(V_OF, 0, "INTO with OF = 1");
    PROBE("xorl %%eax, %%eax; into", : : "eax", "cc");
    CHECK_NO_TRAP("INTO with OF = 0");
    PROBE("boundl %0, %1", : "r"(11), "m"(bounds));
    CHECK_FAULT(V_BR, 0, "BOUND above the upper bound");
    PROBE("boundl %0, %1", : "r"(-6), "m"(bounds));
    CHECK_FAULT(V_BR, 0, "BOUND below the lower bound");
    PROBE("boundl %0, %1; boundl %2, %1", : "r"(10), "m"(bounds), "r"(-5));
    CHECK_NO_TRAP("BOUND at both bounds");
    PROBE("ud2");
    CHECK_FAULT(V_UD, 0, "UD2");
    PROBE(".byte 0x8E, 0xC8");
    CHECK_FAULT(V_UD, 0, "MOV to CS");
}

static void segments(void)
{
    struct {
        u32 offset;
        u16 selector;
    } __attribute__((packed)) far = {0, SEL_KDATA};
    printf("#NP, #SS, #GP, #TS\n");
    gdt_set(SEL_TEST, 0x00CF13000000FFFF); /* data, P clear */
    PROBE("mov %w0, %%fs", : "r"(SEL_TEST));
    CHECK_FAULT(V_NP, SEL_TEST, "FS := descriptor not present");
    PROBE("mov %w0, %%ss", : "r"(SEL_TEST));
    CHECK_FAULT(V_SS, SEL_TEST, "SS := descriptor not present");
    PROBE("mov %w0, %%ss", : "r"(0));
    CHECK_FAULT(V_GP, 0, "SS := null");
    PROBE("mov %w0, %%fs", : "r"(0x1000));
    CHECK_FAULT(V_GP, 0x1000, "FS := selector beyond the GDT");
    PROBE("ljmp *%0", : "m"(far));
    CHECK_FAULT(V_GP, SEL_KDATA, "far JMP to a data segment");
    asm volatile("mov %w0, %%fs" : : "r"(0));
    PROBE("movl %%fs:0, %%eax", : : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "load through a null FS");
    gdt_set(SEL_TEST, 0x0040930000000FFF); /* data, limit 0xFFF */
    asm volatile("mov %w0, %%fs" : : "r"(SEL_TEST));
    PROBE("movl %%fs:0xFFC, %%eax", : : "eax");
    CHECK_NO_TRAP("the last doubleword under a limit");
    PROBE("movl %%fs:0xFFD, %%eax", : : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "one byte over a limit");
    gdt_set(SEL_TEST, 0x0040970000000FFF); /* expand-down: 0x1000-0xFFFFFFFF */
    asm volatile("mov %w0, %%fs" : : "r"(SEL_TEST));
    PROBE("movl %%fs:0x1000, %%eax", : : "eax");
    CHECK_NO_TRAP("the lowest address of an expand-down segment");
    PROBE("movl %%fs:0xFFF, %%eax", : : "eax");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "below the lowest address of an expand-down segment");
    gdt_set(SEL_TEST, 0x00CF91000000FFFF); /* read-only data */
    asm volatile("mov %w0, %%fs" : : "r"(SEL_TEST));
    PROBE("movl %%eax, %%fs:0", : : "memory");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "write of a read-only segment");
    PROBE("movl %%eax, %%cs:0", : : "memory");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0, "write of a code segment");
    asm volatile("mov %w0, %%fs" : : "r"(SEL_KDATA));

    gate_set(0x90, 0xE, 0, false);
    PROBE("int $0x90");
    CHECK_FAULT(V_NP, 0x90 * 8 + IDT_BIT, "INT through a gate not present");
    gate_set(V_UD, 0xE, 0, false);
    PROBE("ud2");
    CHECK_FAULT_EXCEPT_TCG(V_NP, V_UD * 8 + IDT_BIT + EXT_BIT, "#UD through a gate not present"); /* TCG: no EXT */
    gate_set(V_UD, 0xE, 0, true);
    gate_set(V_GP, 0xE, 0, false);
    PROBE("mov %w0, %%fs", : "r"(0x1000));
    CHECK_FAULT(V_DF, 0, "#GP, then #NP for its gate");
    gate_set(V_GP, 0xE, 0, true);
}

static void bad_stack_switch(void) { PROBE("int3"); }

static void user_page_faults(void)
{
    PROBE("movb (%0), %%al", : "r"(UNMAPPED) : "eax");
    CHECK_FAULT(V_PF, 4, "ring 3 read of a page not present");
    PROBE("movb $0, (%0)", : "r"(SUPERVISOR_PAGE) : "memory");
    CHECK_FAULT(V_PF, 7, "ring 3 write of a supervisor page");
    CHECK(probe_frame.cr2 == SUPERVISOR_PAGE, "CR2 0x%x", probe_frame.cr2);
    PROBE("jmp *%0", : "r"(SUPERVISOR_PAGE));
    CHECK_TRAP_AT(V_PF, 5, SUPERVISOR_PAGE, "ring 3 fetch of a supervisor page");
}

static void user_privileged(void)
{
    PROBE("hlt");
    CHECK_FAULT(V_GP, 0, "HLT in ring 3");
    PROBE("sti");
    CHECK_FAULT(V_GP, 0, "STI in ring 3 with IOPL 0");
    PROBE("inb $0x80, %%al", : : "eax");
    CHECK_FAULT(V_GP, 0, "IN in ring 3 of a port that the I/O map forbids");
    PROBE("int $0x92");
    CHECK_FAULT(V_GP, 0x92 * 8 + IDT_BIT, "INT through a gate of DPL 0");
    PROBE("mov %w0, %%fs", : "r"(SEL_KDATA));
    CHECK_FAULT(V_GP, SEL_KDATA, "FS := ring 0 data in ring 3");
}

static void user_alignment(void)
{
    static u32 words[2] ALIGNED(8);
    write_flags(read_flags() | FLAG_AC);
    PROBE("movl 1(%0), %%eax", : "r"(words) : "eax");
    write_flags(read_flags() & ~(reg_t)FLAG_AC);
    CHECK_FAULT_EXCEPT_TCG(V_AC, 0, "unaligned load with EFLAGS.AC = 1"); /* QEMU 7.2 TCG has no #AC */
}

static void on_change(struct trap_frame *f)
{
    change.top = (reg_t)(f + 1);
    change.frame_sp = f->sp;
    change.frame_ss = f->ss;
    change.frame_cs = f->cs;
}

static void user_change(void) { asm volatile("movl %%esp, %0; int $0x93" : "=m"(change.sp) : : "memory"); }

static void paging_and_rings(void)
{
    printf("#PF with 4 MiB pages, ring 3\n");
    for (u32 i = 0; i < 16; i++)
        page_directory[i] = i << 22 | 0x87;
    page_directory[SUPERVISOR_PAGE >> 22] &= ~4u;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((reg_t)page_directory);
    write_cr0(read_cr0() | CR0_PG);
    PROBE("movb (%0), %%al", : "r"(UNMAPPED + 5) : "eax");
    CHECK_FAULT(V_PF, 0, "read of a page not present");
    CHECK(probe_frame.cr2 == UNMAPPED + 5, "CR2 0x%x", probe_frame.cr2);
    PROBE("movb $0, (%0)", : "r"(UNMAPPED) : "memory");
    CHECK_FAULT(V_PF, 2, "write of a page not present");
    user_call(user_page_faults);
    user_call(user_privileged);
    write_cr0(read_cr0() | CR0_AM);
    user_call(user_alignment);
    write_cr0(read_cr0() & ~(reg_t)CR0_AM);

    gate_set(0x93, 0xE, 3, true);
    set_handler(0x93, on_change);
    user_call(user_change);
    CHECK(change.frame_cs == SEL_UCODE && change.frame_ss == SEL_UDATA, "CS %x SS %x", change.frame_cs,
        change.frame_ss);
    CHECK(change.frame_sp == change.sp, "saved ESP 0x%x", change.frame_sp);
    CHECK(change.top == tss.esp0, "the frame ends at 0x%lx, ESP0 is 0x%x", (unsigned long)change.top, tss.esp0);
    write_cr0(read_cr0() & ~(reg_t)CR0_PG);
}

/* #TS through an interrupt gate to ring 0 needs the very stack that is wrong; its own gate is a task gate. */
static void invalid_tss(void)
{
    static struct tss task;
    static u8 task_stack[512] ALIGNED(16);
    printf("#TS through a task gate\n");
    extern const u8 task_entry[];
    task.eip = (u32)task_entry;
    task.esp = (u32)task_stack + sizeof task_stack;
    task.eflags = FLAG_FIXED;
    task.cs = SEL_KCODE;
    task.ss = task.ds = task.es = task.fs = task.gs = SEL_KDATA;
    task.ss0 = SEL_KDATA;
    task.esp0 = task.esp;
    task.iomap = sizeof task;
    u32 base = (u32)&task;
    gdt_set(SEL_TEST + 8, (sizeof task - 1) | (u64)(base & 0xFFFFFF) << 16 | 0x89ull << 40 | (u64)(base >> 24) << 56);
    gdt_set(SEL_TEST, 0x00CF93000000FFFF | 0x60ull << 40); /* ring 3 data cannot be the ring 0 stack */
    idt_set_raw(V_TS, (u64)(SEL_TEST + 8) << 16 | 0x85ull << 40);
    extern volatile u32 task_error, task_link, task_count;
    tss.ss0 = SEL_TEST;
    user_call(bad_stack_switch);
    CHECK(task_count == 1, "%u entries into the task", task_count);
    CHECK(task_error == SEL_TEST, "#TS error 0x%x: SS0 is of ring 3", task_error);
    CHECK(task.link == SEL_TSS, "back link 0x%x", task.link);
    CHECK(task_link == (u32)probe_at, "EIP in the outgoing TSS 0x%x, not 0x%lx", task_link, (unsigned long)probe_at);
    CHECK((gdt_get(SEL_TSS) >> 40 & 0x1F) == 0x0B, "the TSS is not busy again after IRET");
    tss.ss0 = SEL_KDATA;
}

int main(void)
{
    trap_init();
    probe_init();
    basics();
    segments();
    paging_and_rings();
    invalid_tss();
    return check_report("exceptions32");
}
