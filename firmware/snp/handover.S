/*
 * What comes before a kernel that an IGVM file launches without firmware: at VMPL0 it accepts the memory that the file
 * does not have, and writes the MTRRs as firmware leaves them. The hypervisor keeps those, so each is an exit through a
 * GHCB (GHCB specification, 4.1). Position-independent 64-bit code, of which `strata snp pack` fills in `parameters`;
 * the page tables there map all memory one to one, the GHCB alone as shared. It keeps all registers that Linux's 64-bit
 * boot protocol gives a meaning.
 */
#define GHCB_MSR 0xC0010130
#define VMGEXIT .byte 0xF3, 0x0F, 0x01, 0xD9
#define PVALIDATE .byte 0xF2, 0x0F, 0x01, 0xFF

/* Requests of the MSR protocol, and their answers. */
#define REGISTER 0x012
#define REGISTERED 0x013
#define STATE 0x014
#define STATE_CHANGED 0x015
#define TERMINATE 0x100
#define PRIVATE 1
#define SHARED 2
#define OPERATION 52

/* Fields of the GHCB, and the two halves of the bitmap that marks them valid. */
#define GHCB_RAX 0x1F8
#define GHCB_RCX 0x308
#define GHCB_RDX 0x310
#define EXIT_CODE 0x390
#define EXIT_INFO1 0x398
#define EXIT_INFO2 0x3A0
#define VALID 0x3F0
#define VALID_LOW (1 << 63)
#define VALID_HIGH (3 << 33 | 7 << 50)
#define VERSION 0xFFA
#define EXIT_MSR 0x7C
#define WRITE 1

#define PAGE 0x1000
#define LARGE 0x200000

    .section .text, "ax"
    .code64
    .globl _start
_start:
    cld
    movq %rsp, %r14
    leaq stack_top(%rip), %rsp
    leaq parameters(%rip), %rbx

    /* Memory: pages of 2 MiB where the hypervisor gives such, else of 4 KiB. Twice accepted is an attack. */
    movq ranges(%rbx), %rbp
next_range:
    movq (%rbp), %rdi
    movq 8(%rbp), %r12
    addq $16, %rbp
    testq %r12, %r12
    jz memory_is_there
next_page:
    cmpq %r12, %rdi
    jae next_range
    testl $LARGE - 1, %edi
    jnz small_page
    leaq LARGE(%rdi), %rax
    cmpq %r12, %rax
    ja small_page
    movq %rdi, %rax
    movl $1, %ecx
    movl $1, %edx
    PVALIDATE
    jc fail
    testl %eax, %eax
    jnz small_page
    addq $LARGE, %rdi
    jmp next_page
small_page:
    movq %rdi, %rax
    xorl %ecx, %ecx
    movl $1, %edx
    PVALIDATE
    jc fail
    testl %eax, %eax
    jnz fail
    addq $PAGE, %rdi
    jmp next_page

memory_is_there:
    movq ghcb(%rbx), %rdi
    xorl %edx, %edx
    call validate_ghcb
    movl $SHARED, %edx
    call change_state
    movq %rdi, %rax
    orq $REGISTER, %rax
    call protocol
    xorq %rdi, %rax
    cmpq $REGISTERED, %rax
    jne fail
    movq %rdi, %r12
    movl $PAGE / 8, %ecx
    xorl %eax, %eax
    rep stosq
    movq %r12, %rdi
    movw $2, VERSION(%rdi)
    movq %rdi, %rax
    call write_ghcb_msr

    /* Pairs of MSR and value. */
    movq msrs(%rbx), %rbp
next_msr:
    movq (%rbp), %rcx
    movq 8(%rbp), %rax
    addq $16, %rbp
    testq %rcx, %rcx
    jz msrs_are_written
    movq %rax, %rdx
    shrq $32, %rdx
    movl %eax, %eax
    movq %rcx, GHCB_RCX(%rdi)
    movq %rax, GHCB_RAX(%rdi)
    movq %rdx, GHCB_RDX(%rdi)
    movq $EXIT_MSR, EXIT_CODE(%rdi)
    movq $WRITE, EXIT_INFO1(%rdi)
    movq $0, EXIT_INFO2(%rdi)
    movabsq $VALID_LOW, %rax
    movq %rax, VALID(%rdi)
    movabsq $VALID_HIGH, %rax
    movq %rax, VALID + 8(%rdi)
    VMGEXIT
    cmpl $0, EXIT_INFO1(%rdi)
    jne fail
    jmp next_msr

msrs_are_written:
    movl $PRIVATE, %edx
    call change_state
    movl $1, %edx
    call validate_ghcb
    xorl %eax, %eax
    call write_ghcb_msr
    movq %r14, %rsp
    movq kernel_cr3(%rbx), %rax
    movq %rax, %cr3
    movq kernel(%rbx), %rax
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %edi, %edi
    jmp *%rax

/* EDX: 1 to accept the GHCB's page, 0 to give it up. */
validate_ghcb:
    movq %rdi, %rax
    xorl %ecx, %ecx
    PVALIDATE
    jc fail
    testl %eax, %eax
    jnz fail
    ret

/* EDX: what the GHCB's page is to be. */
change_state:
    movl %edx, %eax
    shlq $OPERATION, %rax
    orq %rdi, %rax
    orq $STATE, %rax
    call protocol
    cmpq $STATE_CHANGED, %rax
    jne fail
    ret

/* RAX: a request, and its answer. */
protocol:
    call write_ghcb_msr
    VMGEXIT
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    ret

write_ghcb_msr:
    movq %rax, %rdx
    shrq $32, %rdx
    movl $GHCB_MSR, %ecx
    wrmsr
    ret

fail:
    movl $TERMINATE, %eax
    call protocol
    jmp fail

    .balign 8
    .globl parameters
parameters:
    /* GHCB page; CR3 and address of the kernel; addresses of the two lists, which end with zeros. */
    .fill 5, 8, 0
    .set ghcb, 0
    .set kernel_cr3, 8
    .set kernel, 16
    .set ranges, 24
    .set msrs, 32
    .fill 16, 8, 0
stack_top:
