/* What is measured: from a label path_NAME up to path_NAME_end. Planes share no register. */
    .text
    .globl loop_call, path_call, path_call_end, path_lower_end
loop_call:
path_call:
    movq ask_code, %rax
    movq ask_plane, %rbx
    vmcall
path_call_end:
path_lower_end:
    jmp path_call

/* At path_interrupt an interrupt for the service's plane comes from outside. */
    .globl loop_interrupt, path_interrupt, path_interrupt_end
loop_interrupt:
path_interrupt:
    nop
path_interrupt_end:
    jmp path_interrupt

    .globl service_start, service_busy, path_lower
service_start:
    movq answer_code, %rax
    movq answer_plane, %rbx
    vmcall
    jmp *service

/* Long work: at path_lower an interrupt for the client's plane comes from outside. */
service_busy:
path_lower:
    nop
    nop
    nop
    nop
    jmp service_start

/* EOI: x2APIC MSR 0x80B, each plane's own. */
    .globl on_plane
on_plane:
    pushq %rax
    pushq %rcx
    pushq %rdx
    movl $0x80B, %ecx
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    popq %rdx
    popq %rcx
    popq %rax
    iretq
