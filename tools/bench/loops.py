"""The loops of `strata bench cpu`: integer ones here, SIMD, AES, SHA-256 and x87 ones in vector_loops.py."""
from tools.bench.listing import code
from tools.bench.loop import DATA_SIZE, MASK, Loop
from tools.bench.vector_loops import VECTOR_LOOPS

DATA_MASK = 0x7ff8                  # the load/store loop walks 32 KiB in qwords
FIB = 16                            # the argument of the recursive loop's fib()

DEC_JNZ = """
    31 c0                 xor eax, eax
    48 ff cf              dec rdi           ; the loop
    75 fb                 jne -5
    c3                    ret
"""

ALU_MIX = """
    b8 01 00 00 00        mov eax, 1
    b9 02 00 00 00        mov ecx, 2
    ba 03 00 00 00        mov edx, 3
    41 b8 04 00 00 00     mov r8d, 4
    41 b9 05 00 00 00     mov r9d, 5
    48 01 d0              add rax, rdx      ; the loop
    48 31 c1              xor rcx, rax
    48 c1 c2 07           rol rdx, 7
    4c 8d 44 48 05        lea r8, [rax+rcx*2+5]
    4c 29 c2              sub rdx, r8
    49 21 c9              and r9, rcx
    49 0f af c8           imul rcx, r8
    49 c1 e8 03           shr r8, 3
    4d 09 c1              or r9, r8
    4c 01 c8              add rax, r9
    48 ff cf              dec rdi
    75 d8                 jne -40
    48 31 c8              xor rax, rcx
    48 01 d0              add rax, rdx
    4c 31 c8              xor rax, r9
    c3                    ret
"""

LOAD_STORE = """
    31 c0                 xor eax, eax
    31 c9                 xor ecx, ecx
    48 8b 14 0e           mov rdx, [rsi+rcx]          ; the loop
    48 03 54 0e 08        add rdx, [rsi+rcx+8]
    48 01 d0              add rax, rdx
    48 89 44 0e 10        mov [rsi+rcx+10h], rax
    48 83 04 0e 01        add qword ptr [rsi+rcx], 1
    48 83 c1 18           add rcx, 18h
    81 e1 f8 7f 00 00     and ecx, 7FF8h
    48 ff cf              dec rdi
    75 db                 jne -37
    c3                    ret
"""

RECURSION = """
    49 89 f9              mov r9, rdi
    45 31 c0              xor r8d, r8d
    bf 10 00 00 00        mov edi, 10h      ; the loop: r8 += fib(FIB)
    e8 0c 00 00 00        call 12
    49 01 c0              add r8, rax
    49 ff c9              dec r9
    75 ee                 jne -18
    4c 89 c0              mov rax, r8
    c3                    ret
    48 83 ff 02           cmp rdi, 2        ; fib: 12 instructions, and 4 of them if RDI < 2
    72 19                 jb 25
    57                    push rdi
    48 ff cf              dec rdi
    e8 f1 ff ff ff        call -15
    5f                    pop rdi
    50                    push rax
    48 83 ef 02           sub rdi, 2
    e8 e6 ff ff ff        call -26
    59                    pop rcx
    48 01 c8              add rax, rcx
    c3                    ret
    48 89 f8              mov rax, rdi
    c3                    ret
"""


def alu_mix(iterations: int) -> int:
    """What ALU_MIX leaves in RAX."""
    a, c, d, r8, r9 = 1, 2, 3, 4, 5
    for _ in range(iterations):
        a = (a + d) & MASK
        c ^= a
        d = (d << 7 | d >> 57) & MASK
        r8 = (a + c * 2 + 5) & MASK
        d = (d - r8) & MASK
        r9 &= c
        c = c * r8 & MASK
        r8 >>= 3
        r9 |= r8
        a = (a + r9) & MASK
    return ((a ^ c) + d & MASK) ^ r9


def load_store(iterations: int) -> int:
    """What LOAD_STORE leaves in RAX."""
    memory = [0] * (DATA_SIZE // 8)
    a = index = 0
    for _ in range(iterations):
        at = index // 8
        a = (a + memory[at] + memory[at + 1]) & MASK
        memory[at + 2] = a
        memory[at] = (memory[at] + 1) & MASK
        index = (index + 24) & DATA_MASK
    return a


def fib(n: int) -> int:
    """The nth Fibonacci number: fib(0) = 0, fib(1) = 1."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def fib_instructions(n: int) -> int:
    """How many instructions the routine in RECURSION retires for fib(n), RET included: fib(n + 1) calls end at once
    with 4, and the fib(n + 1) - 1 calls above them take 12 each."""
    leaves = fib(n + 1)
    return 4 * leaves + 12 * (leaves - 1)


INTEGER_LOOPS = (
    Loop("dec-jnz", "dec, jnz", code(DEC_JNZ), 2, 2, lambda n: 0),
    Loop("alu-mix", "12 register operations", code(ALU_MIX), 9, 12, alu_mix),
    Loop("load-store", "load, store and read-modify-write over 32 KiB", code(LOAD_STORE), 3, 9, load_store),
    Loop("fib", "recursive fib with call, ret, push, pop", code(RECURSION), 4, 5 + fib_instructions(FIB),
         lambda n: n * fib(FIB) & MASK),
)

LOOPS = INTEGER_LOOPS + VECTOR_LOOPS
