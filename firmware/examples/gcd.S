/* A test of one's own in assembly: make -C firmware MY=firmware/examples/gcd.S
   main returns the exit code in EAX; printf takes its arguments as C does. */
    .text
    .globl main
main:
    pushq %rbx
    movl $1071, %eax
    movl $462, %ebx
1:  xorl %edx, %edx
    divl %ebx
    movl %ebx, %eax
    movl %edx, %ebx
    testl %edx, %edx
    jnz 1b
    movl %eax, %ebx
    movl $format, %edi
    movl %eax, %esi
    xorl %eax, %eax
    call printf
    xorl %eax, %eax
    cmpl $21, %ebx
    setne %al
    popq %rbx
    ret

    .section .rodata
format:
    .string "gcd(1071, 462) = %d\n"
