/*
 * The two places where a VTL switch happens, with every register under control.
 * struct register_file: RAX RCX RDX RBX RBP RSI RDI R8-R15, RFLAGS.
 */
    .macro load_gprs base
    movq 16(\base), %rdx
    movq 24(\base), %rbx
    movq 32(\base), %rbp
    movq 40(\base), %rsi
    movq 56(\base), %r8
    movq 64(\base), %r9
    movq 72(\base), %r10
    movq 80(\base), %r11
    movq 88(\base), %r12
    movq 96(\base), %r13
    movq 104(\base), %r14
    movq 112(\base), %r15
    movq 48(\base), %rdi
    .endm

    .text
/* void vtl_call_registers(const struct register_file *in, struct register_file *out) */
    .globl vtl_call_registers
vtl_call_registers:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsi, out_pointer
    movq %rsp, vtl0_sp_before
    pushq 120(%rdi)
    popfq
    load_gprs %rdi
    movl $0, %ecx               /* control value; MOV leaves the flags alone */
    call *vtl0_call_stub
    pushfq
    popq out_flags
    movq %rsp, vtl0_sp_after
    movq %rax, out_rax
    movq out_pointer, %rax
    movq %rcx, 8(%rax)
    movq %rdx, 16(%rax)
    movq %rbx, 24(%rax)
    movq %rbp, 32(%rax)
    movq %rsi, 40(%rax)
    movq %rdi, 48(%rax)
    movq %r8, 56(%rax)
    movq %r9, 64(%rax)
    movq %r10, 72(%rax)
    movq %r11, 80(%rax)
    movq %r12, 88(%rax)
    movq %r13, 96(%rax)
    movq %r14, 104(%rax)
    movq %r15, 112(%rax)
    movq out_rax, %rcx
    movq %rcx, (%rax)
    movq out_flags, %rcx
    movq %rcx, 120(%rax)
    movq vtl0_sp_before, %rsp
    pushq $2
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* Where VTL1 starts. Each VTL call but the first resumes after the VTL return that went before it. */
    .globl vtl1_start
vtl1_start:
    movq %rsp, vtl1_sp_seen
    call vtl1_first
reply:
    pushq vtl1_give + 120
    popfq
    movq $vtl1_give, %rax
    load_gprs %rax
    movq vtl1_control, %rcx
    call *vtl1_return_stub
entered:
    pushfq
    popq vtl1_seen + 120
    cmpl $0, vtl1_command       /* SERVE_NOTHING: what the latency loop measures */
    jne 1f
    incq vtl1_entries
    movl $1, %ecx
    call *vtl1_return_stub
    jmp entered
1:  movq %rax, vtl1_seen
    movq %rcx, vtl1_seen + 8
    movq %rdx, vtl1_seen + 16
    movq %rbx, vtl1_seen + 24
    movq %rbp, vtl1_seen + 32
    movq %rsi, vtl1_seen + 40
    movq %rdi, vtl1_seen + 48
    movq %r8, vtl1_seen + 56
    movq %r9, vtl1_seen + 64
    movq %r10, vtl1_seen + 72
    movq %r11, vtl1_seen + 80
    movq %r12, vtl1_seen + 88
    movq %r13, vtl1_seen + 96
    movq %r14, vtl1_seen + 104
    movq %r15, vtl1_seen + 112
    movq %rsp, vtl1_sp_seen
    cld
    call vtl1_serve
    jmp reply

    .bss
    .balign 8
    .globl vtl0_call_stub, vtl1_return_stub, vtl1_control, vtl0_sp_before, vtl0_sp_after, vtl1_sp_seen
vtl0_call_stub:   .skip 8
vtl1_return_stub: .skip 8
vtl1_control:     .skip 8
vtl0_sp_before:   .skip 8
vtl0_sp_after:    .skip 8
vtl1_sp_seen:     .skip 8
out_pointer:      .skip 8
out_rax:          .skip 8
out_flags:        .skip 8
