/*
 * Where a VTL above 0 starts, and its loop: be entered, save the shared registers, call the handler, return normally.
 * GS.base is the VTL's struct vtl_vp: 0 assist page, 8 return stub, 16 handler.
 */
#include "rt_registers.h"

    .text
    .globl rt_entry
rt_entry:
    SAVE_SHARED
    call rt_first
1:  RESTORE_SHARED
    pushq %rbx
    movq %gs:0, %rbx            /* a normal return loads RAX and RCX from the assist page */
    movq %rax, 0x10(%rbx)
    movq %rcx, 0x18(%rbx)
    popq %rbx
    movl $0, %ecx
    call *%gs:8
    SAVE_SHARED
    call *%gs:16
    jmp 1b
