/* What is measured: from a label path_NAME up to path_NAME_end. VTL1's part is the service. */
    .text
/* void loop_call(void): VTL calls until path_rounds is 0. What VTL1 does is up to `service`. */
    .globl loop_call, path_call, path_call_end, path_vina_end
loop_call:
    pushq %rbx
path_call:
    xorl %ecx, %ecx
    call *call_stub
path_call_end:
path_vina_end:
    decl path_rounds
    jnz path_call
    popq %rbx
    ret

/* void loop_interrupt(void): VTL0 at work. At path_interrupt an interrupt for VTL1 comes from outside. */
    .globl loop_interrupt, path_interrupt, path_interrupt_end
loop_interrupt:
path_interrupt:
    nop
path_interrupt_end:
    decl path_rounds
    jnz path_interrupt
    ret

/* VTL1: after its first return it goes on at `service` each time that it is entered. Never returns. */
    .globl service_start, service_fast, service_normal, service_busy, path_vina
service_start:
    sti
service_fast:
    movl $1, %ecx
    call *return_stub
    jmp *service

/* Gives RAX and RCX back as they were: what VTL1 must do where VTL0 did not call. */
service_normal:
    pushq %rbx
    movq service_assist, %rbx
    movq %rax, 0x10(%rbx)
    movq %rcx, 0x18(%rbx)
    popq %rbx
    xorl %ecx, %ecx
    call *return_stub
    jmp *service

/* Long work: at path_vina an interrupt for VTL0 comes from outside. */
service_busy:
path_vina:
    nop
    nop
    nop
    nop
    jmp service_fast

/* EOI through the synthetic MSR 0x40000070, each VTL's own. */
    .macro handler name
    .globl \name
\name:
    pushq %rax
    pushq %rcx
    pushq %rdx
    movl $0x40000070, %ecx
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    popq %rdx
    popq %rcx
    popq %rax
    iretq
    .endm
    handler on_device
    handler on_service
    handler on_vina
