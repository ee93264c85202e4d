/* 256 entry stubs of 16 bytes, the common path into trap_dispatch, and the way to ring 3 and back. */
    .section .text.trap, "ax"
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    /* 8, 10-14, 17, 21, 29, 30 push an error code of their own (SDM vol. 3 table 6-1, APM vol. 2 §8.2) */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %cr2, %rax
    pushq %rax
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    cld
    call trap_dispatch
    movq %rbx, %rsp
    addq $8, %rsp               /* CR2 is for reading */
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .text.user, "ax"
    .globl user_call
user_call:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, user_kernel_sp
    movq %rsp, tss + 4          /* RSP0: traps from ring 3 go below this frame */
    movl $user_stack + 4096 - 8, %eax
    movq $user_return, (%rax)
    pushq $0x23
    pushq %rax
    pushq $2
    pushq $0x2B
    pushq %rdi
    iretq
user_return:
    int $0x80

    .globl user_exit
user_exit:                      /* the handler of vector 0x80: abandon its frame, return from user_call */
    movq user_kernel_sp, %rsp
    movl $0x10, %eax
    movl %eax, %ss
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .section .bss.user, "aw", @nobits
    .balign 4096
    .globl user_stack
user_stack: .skip 4096
user_kernel_sp: .skip 8
