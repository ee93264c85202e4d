/* Exceptions and interrupts: handlers in C, probes that expect a fault, and ring 3. */
#pragma once
#include "types.h"

enum vector {
    V_DE = 0, V_DB = 1, V_NMI = 2, V_BP = 3, V_OF = 4, V_BR = 5, V_UD = 6, V_NM = 7, V_DF = 8,
    V_TS = 10, V_NP = 11, V_SS = 12, V_GP = 13, V_PF = 14, V_MF = 16, V_AC = 17,
    V_USER_EXIT = 0x80, /* INT from ring 3 that ends user_call; its gate has DPL 3 */
};

/* What a handler sees and may change; IRET loads the last five fields (SDM vol. 3 §6.14.2). */
#if defined(__x86_64__)
struct trap_frame {
    u64 cr2, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, ip, cs, flags, sp, ss;
};
#elif defined(MODE_REAL)
/* Real mode pushes no error code and no stack pointer (SDM vol. 3 §21.1.4). */
struct trap_frame {
    u16 es, ds;
    u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
    u16 vector, ip, cs, flags;
} __attribute__((packed));
#else
/* sp and ss are there only if cs has RPL > 0: otherwise they are the interrupted stack's own contents. */
struct trap_frame {
    u32 cr2, gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax;
    u32 vector, error, ip, cs, flags, sp, ss;
};
#endif

typedef void (*trap_handler)(struct trap_frame *);

/* Prints the frame and ends the run with EXIT_UNHANDLED. */
void trap_unhandled(struct trap_frame *f) __attribute__((noreturn));

/* Loads GDT, TSS and an IDT (or the IVT) whose every vector reports itself and exits with EXIT_UNHANDLED. */
void trap_init(void);

/* vector 0-255; fn 0 restores the reporting default. */
void set_handler(unsigned vector, trap_handler fn);

/*
 * A probe runs one instruction that may trap. The probe handler copies the frame, counts, and resumes after
 * the instruction, so the next line of C can look at what happened:
 *     PROBE("ud2");
 *     CHECK_FAULT(V_UD, 0, "UD2");
 * Operands follow the text as in asm: PROBE("div %0", "+a"(a), "+d"(d) : "r"(zero) : "cc").
 */
extern volatile reg_t probe_at, probe_next, probe_resume, probe_sp;
extern volatile unsigned probe_count;
extern struct trap_frame probe_frame;

/* Makes vectors 0-31 probe handlers; a trap outside PROBE stays unhandled. */
void probe_init(void);
void probe_handler(struct trap_frame *f);

#if defined(__x86_64__)
#define PROBE_MOV "movq "
#define PROBE_SP "%%rsp"
#else
#define PROBE_MOV "movl "
#define PROBE_SP "%%esp"
#endif
/* The stack pointer comes back too, so the text may push and trap before it pops. */
#define PROBE(insn, ...)                                                                                       \
    asm volatile(PROBE_MOV PROBE_SP ", probe_sp\n\t" PROBE_MOV "$.Lat%=, probe_at\n\t" PROBE_MOV               \
                           "$.Lnext%=, probe_next\n\t" PROBE_MOV "$.Lnext%=, probe_resume\n.Lat%=: " insn     \
                           "\n.Lnext%=:\n\t" PROBE_MOV "$0, probe_resume\n\t" PROBE_MOV "probe_sp, " PROBE_SP \
                 : __VA_ARGS__)

/* The address of a label that an asm text defines. */
#define LABEL(name) ({ extern const char label_##name[] asm(#name); (reg_t)label_##name; })

/* Each checks that exactly one trap came since the last check, with this saved IP, and clears the count. */
bool probe_check(unsigned vector, reg_t error, reg_t ip, bool tcg_differs, const char *file, int line,
                 const char *what);
#define CHECK_TRAP_AT(vector, error, ip, what) probe_check(vector, error, ip, false, __FILE_NAME__, __LINE__, what)
#define CHECK_FAULT(vector, error, what) CHECK_TRAP_AT(vector, error, probe_at, what)
#define CHECK_TRAP(vector, error, what) CHECK_TRAP_AT(vector, error, probe_next, what)
#define CHECK_FAULT_EXCEPT_TCG(vector, error, what) \
    probe_check(vector, error, probe_at, true, __FILE_NAME__, __LINE__, what)
#define CHECK_TRAP_EXCEPT_TCG(vector, error, what) \
    probe_check(vector, error, probe_next, true, __FILE_NAME__, __LINE__, what)

/* Checks that nothing trapped. */
bool probe_check_none(const char *file, int line, const char *what);
#define CHECK_NO_TRAP(what) probe_check_none(__FILE_NAME__, __LINE__, what)

#ifdef MODE_REAL
#define PROBE_ERROR 0ul
#else
#define PROBE_ERROR ((unsigned long)probe_frame.error)

/* Selectors of the GDT. SEL_TEST and the seven slots above it are free for descriptors of your own. */
#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_UCODE32 0x1B
#define SEL_UDATA 0x23
#define SEL_UCODE 0x2B
#define SEL_TSS 0x30
#define SEL_KCODE32 0x40
#define SEL_TEST 0x48

/* Writes a raw 8-byte descriptor (SDM vol. 3 §3.4.5). */
void gdt_set(u16 selector, u64 descriptor);
u64 gdt_get(u16 selector);

/* Type and DPL of a gate, and its present bit. type: 0xE interrupt, 0xF trap; 5 task (32-bit). */
void gate_set(unsigned vector, unsigned type, unsigned dpl, bool present);

#ifndef __x86_64__
/* Writes a whole gate, such as a task gate. */
void idt_set_raw(unsigned vector, u64 gate);
#endif

#ifdef __x86_64__
struct tss {
    u32 reserved0;
    u64 rsp[3], reserved1, ist[7];
    u16 reserved2[5], iomap;
    u8 io[0x400 / 8 + 1];
} __attribute__((packed));

/* The vector runs on its own stack from now on; ist 1-7, top 16-byte aligned; ist 0: as others do. */
void ist_set(unsigned vector, unsigned ist, void *top);
#else
struct tss {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt;
    u16 trap, iomap;
    u8 io[0x400 / 8 + 1];
};
#endif
/* Its I/O map lets ring 3 reach the console's ports below 0x400, so that CHECK and printf work there. */
extern struct tss tss;

/*
 * Calls fn in ring 3 on a stack of its own and returns when it returns. Its code and data need user pages.
 * Traps it causes come to the ring 0 handlers; not re-entrant.
 */
void user_call(void (*fn)(void));
extern u8 user_stack[4096];
#endif
