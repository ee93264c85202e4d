/*
 * Where a VTL above 0 starts, and its loop: return normally, be entered, save the shared registers, call the handler.
 * GS.base is the VTL's struct vtl_vp: 0 assist page, 8 return stub, 16 handler.
 */
    .text
    .globl rt_entry
rt_entry:
    call rt_first
    xorl %eax, %eax
    xorl %ecx, %ecx
1:  pushq %rbx
    movq %gs:0, %rbx            /* a normal return loads RAX and RCX from the assist page */
    movq %rax, 0x10(%rbx)
    movq %rcx, 0x18(%rbx)
    popq %rbx
    movl $0, %ecx
    call *%gs:8
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
    movq %rsp, %rdi
    cld
    call *%gs:16
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
    jmp 1b
