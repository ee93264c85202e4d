#include "console.h"
#include "cpu.h"
#include "mem.h"
#include "trap.h"

static trap_handler handlers[256];

void trap_unhandled(struct trap_frame *f)
{
#ifdef MODE_REAL
    printf("unhandled vector %u at %04x:%04x flags %04x\n", f->vector, f->cs, f->ip, f->flags);
#else
    printf("unhandled vector %u error 0x%llx at %02x:%p flags 0x%llx cr2 0x%llx\n", (unsigned)f->vector,
           (u64)f->error, (unsigned)f->cs, (void *)f->ip, (u64)f->flags, (u64)f->cr2);
#endif
    exit(EXIT_UNHANDLED);
}

void trap_dispatch(struct trap_frame *f)
{
    trap_handler fn = handlers[f->vector];
    (fn ? fn : trap_unhandled)(f);
}

void set_handler(unsigned vector, trap_handler fn) { handlers[vector] = fn; }

#ifdef MODE_REAL
extern const u8 trap_stubs[256][8];

void trap_init(void)
{
    volatile u32 *ivt = 0;
    for (unsigned i = 0; i < 256; i++)
        ivt[i] = (u32)trap_stubs[i];
}
#else
extern const u8 trap_stubs[256][16];
extern u64 gdt[];
void user_exit(struct trap_frame *);

struct tss tss ALIGNED(16);

#ifdef __x86_64__
#define GATE_WORDS 2
#else
#define GATE_WORDS 1
#endif
static u64 idt[256 * GATE_WORDS] ALIGNED(16);

struct table_pointer {
    u16 limit;
    reg_t base;
} __attribute__((packed));

void gdt_set(u16 selector, u64 descriptor) { gdt[selector >> 3] = descriptor; }
u64 gdt_get(u16 selector) { return gdt[selector >> 3]; }

void gate_set(unsigned vector, unsigned type, unsigned dpl, bool present)
{
    u64 *gate = &idt[vector * GATE_WORDS];
    *gate = (*gate & ~(0xFFull << 40)) | (u64)(type | dpl << 5 | (unsigned)present << 7) << 40;
}

#ifdef __x86_64__
void ist_set(unsigned vector, unsigned ist, void *top)
{
    if (ist)
        tss.ist[ist - 1] = (reg_t)top;
    idt[vector * 2] = (idt[vector * 2] & ~(7ull << 32)) | (u64)ist << 32;
}
#endif

#ifndef __x86_64__
void idt_set_raw(unsigned vector, u64 gate) { idt[vector] = gate; }
#endif

void trap_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        u64 at = (reg_t)trap_stubs[i];
        idt[i * GATE_WORDS] = (at & 0xFFFF) | SEL_KCODE << 16 | (at & 0xFFFF0000) << 32;
        gate_set(i, 0xE, i == V_USER_EXIT || i == V_BP || i == V_OF ? 3 : 0, true);
    }
    set_handler(V_USER_EXIT, user_exit);

    u64 base = (reg_t)&tss;
    tss.iomap = offsetof(struct tss, io);
    memset(tss.io, 0xFF, sizeof tss.io);
    tss.io[0x3F8 / 8] = 0;
    tss.io[0xE9 / 8] &= (u8)~(1u << 0xE9 % 8);
#ifndef __x86_64__
    tss.ss0 = SEL_KDATA;
#endif
    gdt_set(SEL_TSS, (sizeof tss - 1) | (base & 0xFFFFFF) << 16 | 0x89ull << 40 | (base >> 24 & 0xFF) << 56);
    gdt_set(SEL_TSS + 8, base >> 32);
    struct table_pointer p = {sizeof idt - 1, (reg_t)idt};
    asm volatile("lidt %0; ltr %1" : : "m"(p), "r"((u16)SEL_TSS) : "memory");
}
#endif
