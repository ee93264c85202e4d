/* Multiboot entry to main() in 32-bit protected mode, flat segments, paging off. */
#include "multiboot.h"

    .section .text.boot, "ax"
    .globl _start
_start:
    cli
    cld
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $boot_stack_top, %esp
    call main
    pushl %eax
    call exit

    .section .data.gdt, "aw"
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF    /* 08 ring 0 code */
    .quad 0x00CF93000000FFFF    /* 10 ring 0 data */
    .quad 0x00CFFB000000FFFF    /* 18 ring 3 code */
    .quad 0x00CFF3000000FFFF    /* 20 ring 3 data */
    .quad 0x00CFFB000000FFFF    /* 28 ring 3 code, where long mode has its own */
    .quad 0, 0                  /* 30 TSS */
    .quad 0x00CF9B000000FFFF    /* 40 ring 0 code */
    .fill 8, 8, 0               /* 48 the guest's own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .section .bss.boot, "aw", @nobits
    .balign 16
    .globl boot_stack_top
    .skip 16384
boot_stack_top:
