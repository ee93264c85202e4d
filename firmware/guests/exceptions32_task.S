/*
 * The task behind the #TS gate: notes the error code and where the outgoing task stood, mends its TSS (so the
 * faulting INT3 does not fault again: it is skipped) and goes back by IRET with NT set (SDM vol. 3 §7.4).
 */
    .text
    .globl task_entry
task_entry:
    popl %eax
    movl %eax, task_error
    incl task_count
    movl tss + 0x20, %eax       /* EIP field of the outgoing TSS */
    movl %eax, task_link
    movl probe_resume, %eax
    movl %eax, tss + 0x20
    movl $0x10, tss + 8         /* SS0 */
    iretl
    jmp task_entry              /* a second entry would resume here */

    .bss
    .globl task_error, task_link, task_count
    .balign 4
task_error: .skip 4
task_link:  .skip 4
task_count: .skip 4
