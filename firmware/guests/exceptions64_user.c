/* Ring 3: what is privileged, #PF with the U bit, #AC, and the stack switch through the TSS. */
#include "exceptions64.h"

#define SUPERVISOR_PAGE 0x1200000ull /* the tenth 2 MiB page */
extern u64 boot_pd[];

static struct {
    reg_t top, sp, ss;
    u64 frame_sp, frame_ss, frame_cs;
} change;

static void privileged(void)
{
    PROBE("hlt");
    CHECK_FAULT(V_GP, 0, "HLT in ring 3");
    PROBE("cli");
    CHECK_FAULT(V_GP, 0, "CLI in ring 3 with IOPL 0");
    PROBE("inb $0x80, %%al", : : "rax");
    CHECK_FAULT(V_GP, 0, "IN in ring 3 of a port that the I/O map forbids");
    PROBE("mov %%cr0, %%rax", : : "rax");
    CHECK_FAULT(V_GP, 0, "MOV from CR0 in ring 3");
    PROBE("rdmsr", : "c"(MSR_EFER) : "rax", "rdx");
    CHECK_FAULT(V_GP, 0, "RDMSR in ring 3");
    PROBE("int $0x92");
    CHECK_FAULT_EXCEPT_TCG(V_GP, 0x92 * 8 + IDT_BIT, "INT through a gate of DPL 0"); /* TCG doubles the index */
    PROBE("int3");
    CHECK_TRAP(V_BP, 0, "INT3 through a gate of DPL 3");
    PROBE("mov %w0, %%ss", : "r"(SEL_KDATA));
    CHECK_FAULT(V_GP, SEL_KDATA, "SS := ring 0 data in ring 3");
    reg_t before = read_flags();
    asm volatile("pushq %0; popfq" : : "r"(before | FLAG_IF | 0x3000) : "memory", "cc");
    CHECK((read_flags() & (FLAG_IF | 0x3000)) == 0, "POPF in ring 3 changed IF or IOPL");
    CHECK((read_cs() & 3) == 3 && (read_ss() & 3) == 3, "CS %x SS %x", read_cs(), read_ss());
}

static void page_faults(void)
{
    PROBE("movb (%0), %%al", : "r"(UNMAPPED) : "rax");
    CHECK_FAULT(V_PF, 4, "ring 3 read of a page not present");
    PROBE("movb $0, (%0)", : "r"(UNMAPPED) : "memory");
    CHECK_FAULT(V_PF, 6, "ring 3 write of a page not present");
    PROBE("movb (%0), %%al", : "r"(SUPERVISOR_PAGE + 3) : "rax");
    CHECK_FAULT(V_PF, 5, "ring 3 read of a supervisor page");
    CHECK(probe_frame.cr2 == SUPERVISOR_PAGE + 3, "CR2 0x%llx", (u64)probe_frame.cr2);
    PROBE("movb $0, (%0)", : "r"(SUPERVISOR_PAGE) : "memory");
    CHECK_FAULT(V_PF, 7, "ring 3 write of a supervisor page");
}

static void fetch_faults_nx(void)
{
    PROBE("jmp *%0", : "r"(SUPERVISOR_PAGE));
    CHECK_TRAP_AT(V_PF, 0x15, SUPERVISOR_PAGE, "ring 3 fetch of a supervisor page, EFER.NXE = 1");
    PROBE("jmp *%0", : "r"(UNMAPPED));
    CHECK_TRAP_AT(V_PF, 0x14, UNMAPPED, "ring 3 fetch of a page not present, EFER.NXE = 1");
}

static void fetch_faults(void)
{
    PROBE("jmp *%0", : "r"(SUPERVISOR_PAGE));
    CHECK_TRAP_AT(V_PF, 5, SUPERVISOR_PAGE, "ring 3 fetch of a supervisor page, EFER.NXE = 0");
}

static void alignment(void)
{
    static u32 words[2] ALIGNED(8);
    PROBE("movl 1(%0), %%eax", : "r"(words) : "rax");
    CHECK_NO_TRAP("unaligned load with RFLAGS.AC = 0");
    write_flags(read_flags() | FLAG_AC);
    PROBE("movl 1(%0), %%eax", : "r"(words) : "rax");
    write_flags(read_flags() & ~(reg_t)FLAG_AC);
    CHECK_FAULT_EXCEPT_TCG(V_AC, 0, "unaligned load with RFLAGS.AC = 1"); /* QEMU 7.2 TCG has no #AC */
    write_flags(read_flags() | FLAG_AC);
    PROBE("movl 4(%0), %%eax", : "r"(words) : "rax");
    write_flags(read_flags() & ~(reg_t)FLAG_AC);
    CHECK_NO_TRAP("aligned load with RFLAGS.AC = 1");
}

static void on_change(struct trap_frame *f)
{
    change.top = (reg_t)(f + 1);
    change.frame_sp = f->sp;
    change.frame_ss = f->ss;
    change.frame_cs = f->cs;
    change.ss = read_ss();
}

static void change_ring(void)
{
    asm volatile("movq %%rsp, %0; int $0x93" : "=m"(change.sp) : : "memory");
}

void ring3(void)
{
    printf("ring 3: #GP, #PF, #AC\n");
    user_call(privileged);
    boot_pd[9] &= ~4ull;
    invlpg((void *)SUPERVISOR_PAGE);
    user_call(page_faults);
    bool nx = rdmsr(MSR_EFER) & EFER_NXE;
    if (nx)
        user_call(fetch_faults_nx);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
    user_call(fetch_faults);
    boot_pd[9] |= 4;
    invlpg((void *)SUPERVISOR_PAGE);
    write_cr0(read_cr0() | CR0_AM);
    user_call(alignment);
    write_cr0(read_cr0() & ~(reg_t)CR0_AM);

    printf("ring 3: INT n with a change of stack\n");
    gate_set(0x93, 0xE, 3, true);
    set_handler(0x93, on_change);
    user_call(change_ring);
    CHECK(change.frame_cs == SEL_UCODE && change.frame_ss == SEL_UDATA, "CS 0x%llx SS 0x%llx", change.frame_cs,
          change.frame_ss);
    CHECK(change.frame_sp == change.sp, "saved RSP 0x%llx, not 0x%lx", change.frame_sp, change.sp);
    CHECK(change.top == (tss.rsp[0] & ~15ull), "the frame ends at 0x%lx, RSP0 is 0x%llx", change.top, tss.rsp[0]);
    CHECK(change.ss == 0, "SS is 0x%lx in the handler: a change of ring loads a null selector", change.ss);
}
