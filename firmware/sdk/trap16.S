/* Real-mode entry stubs of 8 bytes; the common path builds a struct trap_frame for trap_dispatch. */
    .section .text.trap, "ax"
    .code16
    .balign 8
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 8
    pushw $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushal
    pushw %ds
    pushw %es
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movl %esp, %eax
    movl %esp, %ebx
    andw $-4, %sp
    pushl %eax
    cld
    calll trap_dispatch
    movl %ebx, %esp
    popw %es
    popw %ds
    popal
    addw $2, %sp
    iretw
