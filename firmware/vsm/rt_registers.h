/* For assembly: struct shared_registers on the stack, with its address in RDI, and back. */
.macro SAVE_SHARED
    .irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    pushq %\r
    .endr
    movq %rsp, %rdi
    cld
.endm
.macro RESTORE_SHARED
    .irp r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
    popq %\r
    .endr
.endm
