/* 32-bit code in compatibility mode, with the probes' bookkeeping done by hand. */
    .text
    .globl compat_call
compat_call:
    pushq %rbx
    pushq $0x40
    pushq %rdi
    lretq

    .code32
    .macro probe32 insn:vararg
    movl $1f, probe_at
    movl $2f, probe_next
    movl $2f, probe_resume
1:  \insn
2:  movl $0, probe_resume
    ljmp $0x08, $compat_return
    .endm

    .globl compat_into
compat_into:
    movl $0x7FFFFFFF, %eax
    incl %eax
    probe32 into

    .globl compat_bound
compat_bound:
    movl $11, %eax
    probe32 boundl %eax, bounds

    .code64
compat_return:
    popq %rbx
    ret

    .section .rodata
bounds:
    .long -5, 10
