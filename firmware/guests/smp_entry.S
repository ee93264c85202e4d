/* Where an application processor starts after SIPI: real mode at vector << 12 (SDM vol. 3 §9.4.4); on to ap_main. */
#define START 0x8000

    .section .text.ap, "ax"
    .globl ap_start, ap_end
    .code16
ap_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl START + ap_gdt_pointer - ap_start
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x40, $START + ap_protected - ap_start

    .code32
ap_protected:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
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
    andl $0x9FFFFFFF, %eax      /* caches on: INIT leaves CD and NW set */
    orl $0x80000000, %eax
    movl %eax, %cr0
    ljmp $0x08, $ap_long

    .balign 8
ap_gdt_pointer:
    .word 0x47
    .long gdt
ap_end:

    .section .text.ap_long, "ax"
    .code64
ap_long:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    lidt idt_copy
    movl $1, %eax
    lock xaddl %eax, ap_tickets /* each processor takes a stack */
    movl %eax, %edi
    incl %eax
    shll $14, %eax
    addq $ap_stacks, %rax
    movq %rax, %rsp
    call ap_main
1:  hlt
    jmp 1b
