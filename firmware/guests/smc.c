/*
 * Self- and cross-modifying code. A store through the address that is executed is seen by the next instruction
 * (SDM vol. 3 §12.6, APM vol. 2 §7.6.1); a store through another virtual address is seen after a serialising
 * instruction (SDM vol. 3 §9.1.3).
 */
#include "sdk.h"

#define ALIAS 0x8000000000ull /* PML4 entry 1: a second view of the first 2 MiB pages */

extern u64 boot_pml4[];
static u64 alias_pdpt[512] ALIGNED(4096), alias_pd[512] ALIGNED(4096);
static u8 arena[3 * 4096] ALIGNED(4096);

typedef u32 (*code)(u32);

/* mov eax, imm32; ret */
static void put_constant(volatile u8 *at, u32 value)
{
    at[0] = 0xB8;
    for (int i = 0; i < 4; i++)
        at[1 + i] = (u8)(value >> 8 * i);
    at[5] = 0xC3;
}

static void next_instruction(void)
{
    u32 v;
    printf("store to the next instruction\n");
    for (u32 i = 0; i < 100; i++) {
        asm volatile("movl %1, patch_imm + 1\npatch_imm: movl $0x11111111, %0" : "=a"(v) : "r"(i * 3) : "memory");
        CHECK(v == i * 3, "round %u: %u", i, v);
    }
    asm volatile("movb $0x90, patch_op; movb $0x90, patch_op + 1; "
                 "movl $1, %0\npatch_op: xorl %0, %0" : "=a"(v) : : "memory");
    CHECK(v == 1, "two stores of one byte did not turn XOR into NOPs");
    printf("REP STOSB over the code that follows\n");
    asm volatile("cld; leaq patch_run(%%rip), %%rdi; movl $16, %%ecx; movl $0x90, %%eax; xorl %%edx, %%edx; rep stosb\n"
                 "patch_run: .rept 8; incl %%edx; .endr" : "=d"(v) : : "rax", "rcx", "rdi", "memory", "cc");
    CHECK(v == 0, "%u of 8 INCs ran though NOPs overwrote them", v);
}

static void loop_body(void)
{
    u32 sum;
    printf("store to a loop body\n");
    /* The body adds its immediate, then increments it: 1 + 2 + ... + 1000. */
    asm volatile("xorl %0, %0; movl $1, body + 2; movl $1000, %%ecx\n"
                 "1: .byte 0x81, 0xC2, 1, 0, 0, 0; .set body, . - 6\n"
                 "incl body + 2; decl %%ecx; jnz 1b" : "=&d"(sum) : : "rcx", "memory", "cc");
    CHECK(sum == 500500, "sum %u", sum);
    /* The last round turns the loop's own JNZ into NOPs, long after it got hot. */
    asm volatile("xorl %0, %0\n"
                 "1: incl %0; cmpl $100000, %0; jne 2f; movw $0x9090, loop_end\n"
                 "2: testl %0, %0\nloop_end: jnz 1b" : "=&d"(sum) : : "memory", "cc");
    CHECK(sum == 100000, "the loop ended after %u rounds", sum);
}

static void copied(void)
{
    static const u8 triple[] = {0x8D, 0x04, 0x7F, 0xC3}; /* lea eax, [rdi + rdi * 2]; ret */
    static const u8 twice[] = {0x8D, 0x04, 0x3F, 0xC3};  /* lea eax, [rdi + rdi]; ret */
    printf("code copied and run, twice at one place\n");
    code f = (code)arena;
    for (u32 i = 0; i < 50; i++) {
        memcpy(arena, i & 1 ? triple : twice, 4);
        CHECK(f(i) == i * (i & 1 ? 3 : 2), "round %u: %u", i, f(i));
    }
}

static void page_boundary(void)
{
    printf("code across a page boundary\n");
    for (int back = 1; back <= 5; back++) {
        u8 *at = arena + 4096 - back;
        code f = (code)at;
        put_constant(at, 0x01020304);
        CHECK(f(0) == 0x01020304, "%d bytes before the boundary: 0x%x", back, f(0));
        put_constant(at, 0xA1A2A3A4); /* changes both pages */
        CHECK(f(0) == 0xA1A2A3A4, "%d bytes before, rewritten: 0x%x", back, f(0));
        ((volatile u8 *)at)[4] = 0x55; /* only the last byte of the immediate, on the second page */
        CHECK(f(0) == 0x55A2A3A4, "%d bytes before, tail rewritten: 0x%x", back, f(0));
        ((volatile u8 *)at)[1] = 0x66;
        CHECK(f(0) == 0x55A2A366, "%d bytes before, head rewritten: 0x%x", back, f(0));
    }
}

static void same_page_data(void)
{
    volatile u32 *data = (u32 *)(arena + 8192 + 64);
    code f = (code)(arena + 8192);
    printf("data on the page of the code\n");
    /* mov eax, [rip + 58]; add eax, edi; mov [rip + 50], eax; ret: a counter 64 bytes on */
    static const u8 counter[] = {0x8B, 0x05, 58, 0, 0, 0, 0x01, 0xF8, 0x89, 0x05, 50, 0, 0, 0, 0xC3};
    memcpy(arena + 8192, counter, sizeof counter);
    *data = 0;
    for (u32 i = 0; i < 10000; i++)
        f(i);
    CHECK(*data == 49995000, "sum %u", *data);
}

static void aliased(void)
{
    printf("store through another virtual address\n");
    boot_pml4[1] = (reg_t)alias_pdpt | 7;
    alias_pdpt[0] = (reg_t)alias_pd | 7;
    for (u64 i = 0; i < 4; i++)
        alias_pd[i] = i << 21 | 0x87;
    u8 *other = (u8 *)(ALIAS + (reg_t)arena);
    code here = (code)arena, there = (code)other;
    for (u32 i = 0; i < 50; i++) {
        put_constant(other, i);
        serialize();
        CHECK(here(0) == i, "written by the alias: %u, not %u", here(0), i);
        put_constant(arena, i + 1000);
        serialize();
        CHECK(there(0) == i + 1000, "run at the alias: %u, not %u", there(0), i + 1000);
    }

    printf("a virtual page moved to other code\n");
    u64 page = (reg_t)arena >> 21 << 21, far = 0x1000000;
    put_constant((u8 *)(far + ((reg_t)arena - page)), 77);
    put_constant(arena, 88);
    CHECK(there(0) == 88, "before the move: %u", there(0));
    alias_pd[page >> 21] = far | 0x87;
    invlpg(other);
    CHECK(there(0) == 77, "after INVLPG: %u", there(0));
    alias_pd[page >> 21] = page | 0x87;
    write_cr3(read_cr3());
    CHECK(there(0) == 88, "after CR3 was written: %u", there(0));
}

int main(void)
{
    trap_init();
    next_instruction();
    loop_body();
    copied();
    page_boundary();
    same_page_data();
    aliased();
    return check_report("smc");
}
