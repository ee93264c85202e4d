/* Where the loader enters the monitor, with VTL0's first registers, and the vectors of its interrupts and exceptions. */
#include "rt_registers.h"

    .text
    .globl _start, monitor_vectors
_start:
    SAVE_SHARED
    call monitor_start          /* GS.base is set now */
    RESTORE_SHARED
    jmp rt_entry

/* 256 entries of 16 bytes. The monitor looks at what has come when it has enabled interrupts for a moment. */
    .balign 16
monitor_vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector < 32
    movl $vector, %edi
    movq (%rsp), %rsi
    movq 8(%rsp), %rdx
    jmp monitor_exception
    .else
    iretq
    .endif
    .set vector, vector + 1
    .endr
