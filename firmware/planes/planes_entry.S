/* The hypercall instruction, with the registers that C expects to keep, and where a plane starts. */
    .text
    .globl plane_hypercall
plane_hypercall:                /* RDI number, RSI and RDX operands */
    pushq %rbx
    movq %rdi, %rax
    movq %rsi, %rbx
    movq %rdx, %rcx
    vmcall
    popq %rbx
    ret

    .globl plane_start
plane_start:
    cld
    call *%gs:8
1:  cli
    hlt
    jmp 1b
