/* Multiboot entry (32-bit protected mode, paging off) to main() in long mode. */
#include "multiboot.h"

    .section .text.boot, "ax"
    .code32
    .globl _start
_start:
    cli
    cld
    movl $boot_stack_top, %esp

    /* 2048 pages of 2 MiB: P, RW, US, PS; from 3 GiB up also PWT and PCD, for that is where devices are. */
    movl $boot_pd, %edi
    movl $0x87, %eax
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jc 3f
    cmpl $0xC0000000, %eax
    jb 1b
    orl $0x18, %eax
    jmp 1b

3:  movl $boot_pd + 7, %eax
    movl $boot_pdpt, %edi
2:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x1000, %eax
    cmpl $boot_pd + 0x4000, %eax
    jb 2b
    movl $boot_pdpt + 7, boot_pml4

    movl %cr4, %eax
    orl $0x20, %eax             /* CR4.PAE */
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x100, %eax            /* EFER.LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax       /* CR0.PG: EFER.LMA follows (SDM vol. 3 §9.8.5) */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $1f

    .code64
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $boot_stack_top, %esp
    call main
    movl %eax, %edi
    call exit

    .section .data.gdt, "aw"
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF    /* 08 ring 0 code, 64-bit */
    .quad 0x00CF93000000FFFF    /* 10 ring 0 data */
    .quad 0x00CFFB000000FFFF    /* 18 ring 3 code, 32-bit */
    .quad 0x00CFF3000000FFFF    /* 20 ring 3 data */
    .quad 0x00AFFB000000FFFF    /* 28 ring 3 code, 64-bit: SYSRET wants this order */
    .quad 0, 0                  /* 30 TSS */
    .quad 0x00CF9B000000FFFF    /* 40 ring 0 code, 32-bit */
    .fill 8, 8, 0               /* 48 the guest's own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .section .bss.boot, "aw", @nobits
    .balign 4096
    .globl boot_pml4, boot_pdpt, boot_pd, boot_stack_top
boot_pml4:  .skip 4096
boot_pdpt:  .skip 4096
boot_pd:    .skip 4 * 4096
    .skip 16384
boot_stack_top:
