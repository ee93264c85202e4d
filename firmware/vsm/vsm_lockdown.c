/*
 * A kernel and its guardian. VTL0 is a small kernel: code, an IDT, system calls through LSTAR, paging with write
 * protection. VTL1 is a monitor: once VTL0 says that it has booted, it makes VTL0's code and IDT read-only, takes
 * execution from its data, and intercepts CR0, CR4, LSTAR, EFER and IDTR. VTL0 is then attacked from within; the
 * monitor prints each attack with the intercept that shows it, and answers with #GP.
 */
#include "rt.h"

#define SINT0_VECTOR 0x51
#define PAGE 4096

enum service { BOOTED = 1, MAY_WRITE_NOTES };

extern u8 kernel_code[], kernel_code_end[]; /* the pages of the system call's code */
static u8 notes[PAGE] ALIGNED(4096);        /* read-only, but the monitor may be asked */
static u8 heap[PAGE] ALIGNED(4096);
static u64 idt[512] ALIGNED(4096);
static volatile unsigned caught, stopped;

/* --- the monitor ------------------------------------------------------------------------------------------------ */

static void lock_down(void)
{
    hv_set(HV_REG_VSM_PARTITION_CONFIG, 0, HV_CONFIG_PROTECT | HV_CONFIG_DENY_STARTUP);
    for (u8 *p = kernel_code; p < kernel_code_end; p += PAGE)
        CHECK(hv_protect((reg_t)p, HV_MAP_READ | HV_MAP_EXECUTE) == 0, "locking code");
    CHECK(hv_protect((reg_t)idt, HV_MAP_READ) == 0, "locking the IDT");
    CHECK(hv_protect((reg_t)notes, HV_MAP_READ) == 0, "locking the notes");
    CHECK(hv_protect((reg_t)heap, HV_MAP_READ | HV_MAP_WRITE) == 0, "no execution of data");
    /* CR0 and CR4 writes, LSTAR and EFER writes, LIDT */
    hv_set(HV_REG_CR_INTERCEPT_CONTROL, 0, 1 | 1 << 1 | 1 << 6 | 1 << 14 | 1 << 16);
    hv_set(HV_REG_CR_INTERCEPT_CR0_MASK, 0, CR0_WP | CR0_PG | CR0_PE);
    hv_set(HV_REG_CR_INTERCEPT_CR4_MASK, 0, CR4_UMIP);
    printf("monitor: code, IDT, CR0, CR4, LSTAR, EFER and IDTR are locked\n");
}

static void show(const struct hv_message *m)
{
    static const char *const access[] = {"read", "write", "execution"};
    if (m->type == HV_MESSAGE_GPA)
        printf("monitor: %s of page 0x%llx at RIP 0x%llx", access[m->access], m->memory.gpa & -PAGE, m->rip);
    else if (m->type == HV_MESSAGE_MSR)
        printf("monitor: MSR 0x%x := 0x%llx at RIP 0x%llx", m->msr.index, m->msr.rdx << 32 | (u32)m->msr.rax, m->rip);
    else
        printf("monitor: register 0x%x := 0x%llx:%llx at RIP 0x%llx", m->reg.name, m->reg.high, m->reg.low, m->rip);
    printf(": stopped\n");
}

static void monitor(struct shared_registers *r)
{
    if (!r) {
        sint_open(0, SINT0_VECTOR);
        return;
    }
    struct hv_message *m = message(0);
    if (!m) {
        if (r->rdi == BOOTED)
            lock_down();
        else if (r->rdi == MAY_WRITE_NOTES) { /* what VTL0 cannot do itself */
            notes[r->rsi % PAGE] = (u8)r->rdx;
            r->rdi = 0;
        }
        return;
    }
    sti();
    asm volatile("nop");
    cli();
    show(m);
    hv_set(HV_REG_PENDING_EVENT0, HV_TARGET_VTL(0), HV_EVENT_GP);
    caught++;
    message_done(0);
}

/* --- the kernel ------------------------------------------------------------------------------------------------- */

asm(".section .text.kernel, \"ax\"\n.balign 4096\n.globl kernel_code, kernel_code_end\nkernel_code:\n"
    "movl $42, %eax\nret\n.balign 4096\nkernel_code_end:\n.text");

static void on_sint0(struct trap_frame *f) { (void)f; }

static void on_gp(struct trap_frame *f)
{
    stopped++;
    f->ip = f->rbx; /* each attack leaves the address after it there */
}

#define ATTACK(name, insn, ...)                                                                     \
    do {                                                                                            \
        unsigned before = caught, ends = stopped;                                                   \
        printf("attack: %s\n", name);                                                               \
        asm volatile("leaq 1f(%%rip), %%rbx\n" insn "\n1:" : : __VA_ARGS__ : "rbx", "memory", "cc"); \
        CHECK(caught == before + 1 && stopped == ends + 1, "%s: not caught", name);                 \
    } while (0)

static void attacks(void)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) own = {0xFFF, (reg_t)heap};
    u64 cr0 = read_cr0(), cr4 = read_cr4();
    ATTACK("patch the kernel's code", "movb $0xCC, (%0)", "r"(kernel_code));
    ATTACK("hook an interrupt", "movq %1, (%0)", "r"(&idt[2 * V_PF]), "r"(0ull));
    ATTACK("use another IDT", "lidt %0", "m"(own));
    ATTACK("turn write protection off", "mov %0, %%cr0", "r"(cr0 & ~(u64)CR0_WP));
    ATTACK("show descriptor tables to user mode", "mov %0, %%cr4", "r"(cr4 & ~(u64)CR4_UMIP));
    ATTACK("redirect system calls", "wrmsr", "c"(MSR_LSTAR), "a"((u32)(reg_t)heap), "d"(0));
    ATTACK("allow execution of data by EFER", "wrmsr", "c"(MSR_EFER), "a"(EFER_LME | EFER_SCE), "d"(0));
    ATTACK("write the notes", "movb $1, (%0)", "r"(notes));
    heap[0] = 0xC3;
    ATTACK("run code in the heap", "jmp *%0", "r"(heap));
    CHECK(read_cr0() == cr0 && read_cr4() == cr4, "a control register changed");
    CHECK(rdmsr(MSR_LSTAR) == (reg_t)kernel_code, "LSTAR changed");
}

static void boot(void)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) idtr;
    asm volatile("sidt %0" : "=m"(idtr));
    memcpy(idt, (void *)idtr.base, sizeof idt); /* to pages of its own */
    idtr.base = (reg_t)idt;
    asm volatile("lidt %0" : : "m"(idtr));
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
    wrmsr(MSR_LSTAR, (reg_t)kernel_code);
    write_cr0(read_cr0() | CR0_WP);
    write_cr4(read_cr4() | CR4_UMIP);
}

int main(void)
{
    vsm_open("vsm_lockdown", 1);
    set_handler(SINT0_VECTOR, on_sint0);
    set_handler(V_GP, on_gp);
    boot();
    vsm_enable(1, monitor);
    vtl_call(0, 0, 0);
    printf("kernel: system call gives %d; asking for protection\n", ((int (*)(void))kernel_code)());
    vtl_call(BOOTED, 0, 0);
    attacks();
    CHECK(((int (*)(void))kernel_code)() == 42, "the kernel's code still runs");
    write_cr4(read_cr4() ^ CR4_PGE); /* not locked */
    vtl_call(MAY_WRITE_NOTES, 5, 77);
    CHECK(notes[5] == 77 && notes[0] == 0, "the monitor writes for VTL0");
    printf("%u attacks, %u caught\n", stopped, caught);
    return check_report("vsm_lockdown");
}
