/*
 * Where an SNP guest starts, at any VMPL: 32-bit protected mode without paging, where every access is private. The
 * C-bit's position is in the CPUID page; without one there is no SNP, and the mask is 0.
 */
#include "multiboot.h"

    .section .text.boot, "ax"
    .code32
    .globl _start
_start:
    cli
    cld
    movl $boot_stack + 16384, %esp
    movl %ebx, boot_information
    movl %eax, boot_magic

    movl snp_cpuid_page, %ecx
    movl $snp_cpuid_page + 16, %esi
1:  subl $1, %ecx
    jb 3f
    cmpl $0x8000001F, (%esi)
    je 2f
    addl $48, %esi
    jmp 1b
2:  movl 28(%esi), %ecx         /* EBX[5:0]: always above 31 */
    movl $1, %eax
    shll %cl, %eax              /* the count is taken modulo 32 */
    movl %eax, c_bit_mask + 4
3:  movl c_bit_mask + 4, %ebp

    /* 2048 private pages of 2 MiB: P, RW, US, PS; then 512 shared ones. */
    movl $boot_pd, %edi
    movl $0x87, %eax
4:  movl %eax, (%edi)
    movl %ebp, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jnc 4b
    movl $shared_pd, %edi
    movl $0x87, %eax
5:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x200000, %eax
    cmpl $0x40000087, %eax
    jb 5b

    movl $boot_pd + 7, %eax
    movl $boot_pdpt, %edi
6:  movl %eax, (%edi)
    movl %ebp, 4(%edi)
    addl $8, %edi
    addl $0x1000, %eax
    cmpl $boot_pd + 0x4000, %eax
    jb 6b
    movl $shared_pd + 7, shared_pdpt
    movl %ebp, shared_pdpt + 4
    movl $boot_pdpt + 7, boot_pml4
    movl %ebp, boot_pml4 + 4
    movl $shared_pdpt + 7, boot_pml4 + 8
    movl %ebp, boot_pml4 + 12

    movl %cr4, %eax
    orl $0x20, %eax             /* CR4.PAE */
    movl %eax, %cr4
    movl $boot_pml4, %eax       /* CR3's C-bit cannot be set here, nor is it needed: walks are private */
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x100, %eax            /* EFER.LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
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
    movl $boot_stack + 16384, %esp
    movq c_bit_mask, %rcx       /* the mask, in CR3 too, as systems have it */
    movl $boot_pml4, %eax
    orq %rcx, %rax
    movq %rax, %cr3
    call main
    movl %eax, %edi
    call exit

    /* What an SVSM looks for in a payload: where it starts, and which pages are its to fill. */
    .section .multiboot, "a"
    .balign 8
snp_header:
    .quad 0x004F4C5941504E53    /* "SNPAYLO" */
    .long _start, image_end, snp_cpuid_page, snp_secrets_page, snp_calling_area, snp_command_line

    .section .data.gdt, "aw"
    .balign 8
    .globl gdt, gdt_pointer
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF    /* 08 ring 0 code, 64-bit */
    .quad 0x00CF93000000FFFF    /* 10 ring 0 data */
    .quad 0x00CFFB000000FFFF    /* 18 ring 3 code, 32-bit */
    .quad 0x00CFF3000000FFFF    /* 20 ring 3 data */
    .quad 0x00AFFB000000FFFF    /* 28 ring 3 code, 64-bit */
    .quad 0, 0                  /* 30 TSS */
    .quad 0x00CF9B000000FFFF    /* 40 ring 0 code, 32-bit */
    .fill 8, 8, 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
    .balign 8
    .globl c_bit_mask, boot_information, boot_magic
c_bit_mask:         .quad 0
boot_information:   .quad 0
boot_magic:         .quad 0

    .section .bss.boot, "aw", @nobits
    .balign 16384
    .globl boot_stack, boot_pml4, boot_pdpt, boot_pd
boot_stack:  .skip 16384
boot_pml4:   .skip 4096
boot_pdpt:   .skip 4096
boot_pd:     .skip 4 * 4096
shared_pdpt: .skip 4096
shared_pd:   .skip 4096
    .globl snp_cpuid_page, snp_secrets_page, snp_memory_map, snp_calling_area, snp_command_line
snp_cpuid_page:   .skip 4096
snp_secrets_page: .skip 4096
snp_memory_map:   .skip 4096
snp_calling_area: .skip 4096
snp_command_line: .skip 4096
