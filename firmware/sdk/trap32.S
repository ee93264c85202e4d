/* 256 entry stubs of 16 bytes, the common path into trap_dispatch, and the way to ring 3 and back. */
    .section .text.trap, "ax"
#ifdef MODE_PROT16
    .code16gcc
#endif
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    /* 8, 10-14, 17, 21, 29, 30 push an error code of their own (SDM vol. 3 table 6-1, APM vol. 2 §8.2) */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushl $0
    .endif
    pushl $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushal
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %cr2, %eax
    pushl %eax
    movl %esp, %ebx
    andl $-16, %esp
    subl $12, %esp
    pushl %ebx
    cld
    call trap_dispatch
    movl %ebx, %esp
    addl $4, %esp               /* CR2 is for reading */
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popal
    addl $8, %esp
    iretl

    .section .text.user, "ax"
    .globl user_call
user_call:
    movl 4(%esp), %eax
    pushl %ebx
    pushl %ebp
    pushl %esi
    pushl %edi
    pushfl
    movl %esp, user_kernel_sp
    movl %esp, tss + 4          /* ESP0: traps from ring 3 go below this frame */
    movl $user_stack + 4096 - 4, %edx
    movl $user_return, (%edx)
    movl $0x23, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    pushl %ecx
    pushl %edx
    pushl $2
    pushl $0x2B
    pushl %eax
    iretl
user_return:
    int $0x80

    .globl user_exit
user_exit:                      /* the handler of vector 0x80: abandon its frame, return from user_call */
    movl user_kernel_sp, %esp
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    popfl
    popl %edi
    popl %esi
    popl %ebp
    popl %ebx
    ret

    .section .bss.user, "aw", @nobits
    .balign 4096
    .globl user_stack
user_stack: .skip 4096
user_kernel_sp: .skip 4
