/*
 * Multiboot entry to main() in 16-bit code: real mode, or protected mode with 16-bit segments (MODE_PROT16).
 * The program is linked at 0x1000 and loaded at 1 MiB (multiboot reserves low memory for the loader), so it is
 * copied down first. Every segment has base 0 and 64 KiB, so offsets are linear addresses.
 */
#include "multiboot.h"

    .section .text.start, "ax"
    .code32
    .globl _start
_start:
    cli
    cld
    movl $low_load, %esi
    movl $low_start, %edi
    movl $low_size, %ecx
    rep movsb
    movl $bss_size, %ecx
    xorl %eax, %eax
    rep stosb
    lgdt gdt_pointer
    ljmp $0x08, $enter16        /* a 16-bit code segment; real mode keeps the limits loaded here */

    .section .text.boot, "ax"
    .code16
enter16:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
#ifdef MODE_REAL
    movl %cr0, %eax
    andb $0xFE, %al             /* CR0.PE */
    movl %eax, %cr0
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    lidt ivt_pointer
#endif
    movl $boot_stack_top, %esp
    calll main
    pushl %eax
    calll exit

    .section .data.gdt, "aw"
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00009B000000FFFF    /* 08 ring 0 code, 16-bit, 64 KiB */
    .quad 0x000093000000FFFF    /* 10 ring 0 data, 16-bit, 64 KiB */
    .quad 0x0000FB000000FFFF    /* 18 ring 3 code */
    .quad 0x0000F3000000FFFF    /* 20 ring 3 data */
    .quad 0x0000FB000000FFFF    /* 28 ring 3 code */
    .quad 0, 0                  /* 30 TSS */
    .quad 0x00CF9B000000FFFF    /* 40 ring 0 code, 32-bit */
    .fill 8, 8, 0               /* 48 the guest's own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ivt_pointer:
    .word 0x3FF
    .long 0

    .section .bss.boot, "aw", @nobits
    .balign 16
    .globl boot_stack_top
    .skip 8192
boot_stack_top:
