"""The loops of `strata bench cpu` on vector, AES and x87 registers, and SHA-256 on general ones."""
import struct

import numpy as np

from tools.bench import sha256
from tools.bench.aes import aesenc, aesenclast
from tools.bench.listing import code
from tools.bench.loop import MASK, Loop

SSE2_FLOAT = """
    b8 33 33 73 40                 mov eax, 40733333h
    66 0f 6e c8                    movd xmm1, eax
    66 0f 70 c9 00                 pshufd xmm1, xmm1, 0
    b8 00 00 80 3f                 mov eax, 3F800000h
    66 0f 6e d0                    movd xmm2, eax
    66 0f 70 d2 00                 pshufd xmm2, xmm2, 0
    48 b8 cd cc cc 3e 99 99 19 3f  mov rax, 3F1999993ECCCCCDh
    66 48 0f 6e c0                 movq xmm0, rax
    48 b8 cd cc cc 3d cd cc 4c 3e  mov rax, 3E4CCCCD3DCCCCCDh
    66 48 0f 6e d8                 movq xmm3, rax
    66 0f 6c c3                    punpcklqdq xmm0, xmm3
    0f 57 e4                       xorps xmm4, xmm4
    0f 57 ed                       xorps xmm5, xmm5
    0f 28 da                       movaps xmm3, xmm2         ; the loop
    0f 5c d8                       subps xmm3, xmm0
    0f 59 d9                       mulps xmm3, xmm1
    0f 59 c3                       mulps xmm0, xmm3
    0f 58 e0                       addps xmm4, xmm0
    0f 5f e8                       maxps xmm5, xmm0
    48 ff cf                       dec rdi
    75 e9                          jne -23
    0f 57 e5                       xorps xmm4, xmm5
    0f 12 ec                       movhlps xmm5, xmm4
    0f 57 e5                       xorps xmm4, xmm5
    66 48 0f 7e e0                 movq rax, xmm4
    c3                             ret
"""

SSE2_INTEGER = """
    b8 b9 79 37 9e     mov eax, 9E3779B9h
    66 0f 6e c8        movd xmm1, eax
    66 0f 70 c9 00     pshufd xmm1, xmm1, 0
    66 0f ef d2        pxor xmm2, xmm2
    31 c9              xor ecx, ecx
    f3 0f 6f 04 0e     movdqu xmm0, [rsi+rcx]    ; the loop
    66 0f fe c1        paddd xmm0, xmm1
    66 0f 6f d8        movdqa xmm3, xmm0
    66 0f 72 f0 0d     pslld xmm0, 0Dh
    66 0f 72 d3 13     psrld xmm3, 13h
    66 0f eb c3        por xmm0, xmm3
    66 0f 70 d2 39     pshufd xmm2, xmm2, 39h
    66 0f ef d0        pxor xmm2, xmm0
    f3 0f 7f 14 0e     movdqu [rsi+rcx], xmm2
    66 0f fe ca        paddd xmm1, xmm2
    83 c1 10           add ecx, 10h
    81 e1 ff 7f 00 00  and ecx, 7FFFh
    48 ff cf           dec rdi
    75 c5              jne -59
    66 0f 70 c2 4e     pshufd xmm0, xmm2, 4Eh
    66 0f fe c2        paddd xmm0, xmm2
    66 48 0f 7e c0     movq rax, xmm0
    c3                 ret
"""

AVX2_FLOAT = """
    48 b8 ae 47 e1 7a 14 ae ef 3f  mov rax, 3FEFAE147AE147AEh
    c4 e1 f9 6e c8                 vmovq xmm1, rax
    c4 e2 7d 19 c9                 vbroadcastsd ymm1, xmm1
    48 b8 9a 99 99 99 99 99 b9 3f  mov rax, 3FB999999999999Ah
    c4 e1 f9 6e d0                 vmovq xmm2, rax
    c4 e2 7d 19 d2                 vbroadcastsd ymm2, xmm2
    c5 e1 57 db                    vxorpd xmm3, xmm3, xmm3
    c5 d9 57 e4                    vxorpd xmm4, xmm4, xmm4
    31 c9                          xor ecx, ecx
    c5 f5 59 04 0e                 vmulpd ymm0, ymm1, [rsi+rcx]  ; the loop
    c5 fd 58 c2                    vaddpd ymm0, ymm0, ymm2
    c5 fd 11 04 0e                 vmovupd [rsi+rcx], ymm0
    c5 e5 58 d8                    vaddpd ymm3, ymm3, ymm0
    c5 dd 5f e0                    vmaxpd ymm4, ymm4, ymm0
    83 c1 20                       add ecx, 20h
    81 e1 ff 7f 00 00              and ecx, 7FFFh
    48 ff cf                       dec rdi
    75 dc                          jne -36
    c5 e5 5c dc                    vsubpd ymm3, ymm3, ymm4
    c4 e3 7d 19 d8 01              vextractf128 xmm0, ymm3, 1
    c5 f9 58 c3                    vaddpd xmm0, xmm0, xmm3
    c5 f9 15 d8                    vunpckhpd xmm3, xmm0, xmm0
    c5 fb 58 c3                    vaddsd xmm0, xmm0, xmm3
    c4 e1 f9 7e c0                 vmovq rax, xmm0
    c5 f8 77                       vzeroupper
    c3                             ret
"""

AVX2_INTEGER = """
    48 b8 01 02 03 00 05 06 07 04  mov rax, 407060500030201h
    c4 e1 f9 6e c8                 vmovq xmm1, rax
    48 b8 09 0a 0b 08 0d 0e 0f 0c  mov rax, 0C0F0E0D080B0A09h
    c4 e1 f9 6e d0                 vmovq xmm2, rax
    c5 f1 6c ca                    vpunpcklqdq xmm1, xmm1, xmm2
    c4 e3 75 38 c9 01              vinserti128 ymm1, ymm1, xmm1, 1
    b8 b1 79 37 9e                 mov eax, 9E3779B1h
    c5 f9 6e d0                    vmovd xmm2, eax
    c4 e2 7d 58 d2                 vpbroadcastd ymm2, xmm2
    c5 fd 6f da                    vmovdqa ymm3, ymm2
    31 c9                          xor ecx, ecx
    c5 e5 fe 04 0e                 vpaddd ymm0, ymm3, [rsi+rcx]  ; the loop
    c4 e2 7d 40 c2                 vpmulld ymm0, ymm0, ymm2
    c5 dd 72 d0 0f                 vpsrld ymm4, ymm0, 0Fh
    c5 fd ef c4                    vpxor ymm0, ymm0, ymm4
    c4 e2 7d 00 d9                 vpshufb ymm3, ymm0, ymm1
    c4 e3 fd 00 db 39              vpermq ymm3, ymm3, 39h
    c5 fe 7f 1c 0e                 vmovdqu [rsi+rcx], ymm3
    83 c1 20                       add ecx, 20h
    81 e1 ff 7f 00 00              and ecx, 7FFFh
    48 ff cf                       dec rdi
    75 cf                          jne -49
    c4 e3 7d 39 d8 01              vextracti128 xmm0, ymm3, 1
    c5 f9 fe c3                    vpaddd xmm0, xmm0, xmm3
    c4 e3 f9 16 c0 01              vpextrq rax, xmm0, 1
    c4 e1 f9 7e c1                 vmovq rcx, xmm0
    48 01 c8                       add rax, rcx
    c5 f8 77                       vzeroupper
    c3                             ret
"""

AES = """
    48 b8 00 01 02 03 04 05 06 07  mov rax, 706050403020100h
    66 48 0f 6e c0                 movq xmm0, rax
    48 b9 08 09 0a 0b 0c 0d 0e 0f  mov rcx, 0F0E0D0C0B0A0908h
    66 48 0f 6e c9                 movq xmm1, rcx
    66 0f 6c c8                    punpcklqdq xmm1, xmm0
    66 0f 6c c1                    punpcklqdq xmm0, xmm1
    66 0f ef c1                    pxor xmm0, xmm1           ; the loop
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dc c1                 aesenc xmm0, xmm1
    66 0f 38 dd c1                 aesenclast xmm0, xmm1
    48 ff cf                       dec rdi
    75 c5                          jne -59
    66 0f 70 c8 4e                 pshufd xmm1, xmm0, 4Eh
    66 0f ef c1                    pxor xmm0, xmm1
    66 48 0f 7e c0                 movq rax, xmm0
    c3                             ret
"""

X87 = """
    db e3              fninit                    ; after a reset, FCW masks no exception
    c7 06 33 33 73 40  mov dword [rsi], 40733333h
    d9 06              fld dword [rsi]
    c7 06 cd cc cc 3e  mov dword [rsi], 3ECCCCCDh
    d9 06              fld dword [rsi]
    d9 e8              fld1                      ; the loop
    d8 e1              fsub st1
    d8 ca              fmul st2
    de c9              fmulp
    48 ff cf           dec rdi
    75 f3              jne -13
    db 3e              fstp tword [rsi]
    dd d8              fstp st0
    48 8b 06           mov rax, [rsi]
    c3                 ret
"""

SHA256 = """
    53                       push rbx
    55                       push rbp
    41 54                    push r12
    41 55                    push r13
    41 56                    push r14
    41 57                    push r15
    57                       push rdi
    48 8d 2d 74 01 00 00     lea rbp, [1186h]          ; K, right after the code at 1000h
    b9 30 00 00 00           mov ecx, 30h              ; the loop
    48 8d 7e 40              lea rdi, [rsi+40h]
    8b 47 f8                 mov eax, [rdi-8]          ; the loop
    89 c2                    mov edx, eax
    89 c3                    mov ebx, eax
    c1 c0 0f                 rol eax, 0Fh
    c1 c2 0d                 rol edx, 0Dh
    c1 eb 0a                 shr ebx, 0Ah
    31 d0                    xor eax, edx
    31 d8                    xor eax, ebx
    8b 57 c4                 mov edx, [rdi-3Ch]
    89 d3                    mov ebx, edx
    41 89 d0                 mov r8d, edx
    c1 ca 07                 ror edx, 7
    c1 c3 0e                 rol ebx, 0Eh
    41 c1 e8 03              shr r8d, 3
    31 da                    xor edx, ebx
    44 31 c2                 xor edx, r8d
    01 d0                    add eax, edx
    03 47 e4                 add eax, [rdi-1Ch]
    03 47 c0                 add eax, [rdi-40h]
    89 07                    mov [rdi], eax
    48 83 c7 04              add rdi, 4
    ff c9                    dec ecx
    75 c3                    jne -61
    8b 86 00 01 00 00        mov eax, [rsi+100h]
    8b 9e 04 01 00 00        mov ebx, [rsi+104h]
    8b 8e 08 01 00 00        mov ecx, [rsi+108h]
    8b 96 0c 01 00 00        mov edx, [rsi+10Ch]
    44 8b 86 10 01 00 00     mov r8d, [rsi+110h]
    44 8b 8e 14 01 00 00     mov r9d, [rsi+114h]
    44 8b 96 18 01 00 00     mov r10d, [rsi+118h]
    44 8b 9e 1c 01 00 00     mov r11d, [rsi+11Ch]
    bf 40 00 00 00           mov edi, 40h
    45 89 c4                 mov r12d, r8d             ; the loop
    45 89 c5                 mov r13d, r8d
    45 89 c6                 mov r14d, r8d
    41 c1 cc 06              ror r12d, 6
    41 c1 cd 0b              ror r13d, 0Bh
    41 c1 c6 07              rol r14d, 7
    45 31 ec                 xor r12d, r13d
    45 31 f4                 xor r12d, r14d
    45 01 e3                 add r11d, r12d
    45 89 cc                 mov r12d, r9d
    45 31 d4                 xor r12d, r10d
    45 21 c4                 and r12d, r8d
    45 31 d4                 xor r12d, r10d
    45 01 e3                 add r11d, r12d
    41 89 ff                 mov r15d, edi
    49 f7 df                 neg r15
    46 03 9c be 00 01 00 00  add r11d, [rsi+r15*4+100h]
    46 03 9c bd 00 01 00 00  add r11d, [rbp+r15*4+100h]
    44 01 da                 add edx, r11d
    41 89 c4                 mov r12d, eax
    41 89 c5                 mov r13d, eax
    41 89 c6                 mov r14d, eax
    41 c1 cc 02              ror r12d, 2
    41 c1 cd 0d              ror r13d, 0Dh
    41 c1 c6 0a              rol r14d, 0Ah
    45 31 ec                 xor r12d, r13d
    45 31 f4                 xor r12d, r14d
    45 01 e3                 add r11d, r12d
    41 89 c4                 mov r12d, eax
    41 89 c5                 mov r13d, eax
    41 09 dc                 or r12d, ebx
    41 21 dd                 and r13d, ebx
    41 21 cc                 and r12d, ecx
    45 09 ec                 or r12d, r13d
    45 01 e3                 add r11d, r12d
    45 89 dc                 mov r12d, r11d
    45 89 d3                 mov r11d, r10d
    45 89 ca                 mov r10d, r9d
    45 89 c1                 mov r9d, r8d
    41 89 d0                 mov r8d, edx
    89 ca                    mov edx, ecx
    89 d9                    mov ecx, ebx
    89 c3                    mov ebx, eax
    44 89 e0                 mov eax, r12d
    ff cf                    dec edi
    0f 85 67 ff ff ff        jne -153
    01 86 00 01 00 00        add [rsi+100h], eax
    01 9e 04 01 00 00        add [rsi+104h], ebx
    01 8e 08 01 00 00        add [rsi+108h], ecx
    01 96 0c 01 00 00        add [rsi+10Ch], edx
    44 01 86 10 01 00 00     add [rsi+110h], r8d
    44 01 8e 14 01 00 00     add [rsi+114h], r9d
    44 01 96 18 01 00 00     add [rsi+118h], r10d
    44 01 9e 1c 01 00 00     add [rsi+11Ch], r11d
    31 06                    xor [rsi], eax
    31 5e 04                 xor [rsi+4], ebx
    31 4e 08                 xor [rsi+8], ecx
    31 56 0c                 xor [rsi+0Ch], edx
    48 ff 0c 24              dec [rsp]
    0f 85 9f fe ff ff        jne -353
    48 8b 86 00 01 00 00     mov rax, [rsi+100h]
    5f                       pop rdi
    41 5f                    pop r15
    41 5e                    pop r14
    41 5d                    pop r13
    41 5c                    pop r12
    5d                       pop rbp
    5b                       pop rbx
    c3                       ret
"""


def sse2_float(iterations: int) -> int:
    """What SSE2_FLOAT leaves in RAX: four logistic maps in single precision, their sums and maxima."""
    one, r = np.float32(1), np.uint32(0x40733333).view(np.float32)
    x = np.array([0x3ECCCCCD, 0x3F199999, 0x3DCCCCCD, 0x3E4CCCCD], np.uint32).view(np.float32)
    total, largest = np.zeros(4, np.float32), np.zeros(4, np.float32)
    for _ in range(iterations):
        x = x * ((one - x) * r)
        total, largest = total + x, np.maximum(largest, x)
    low, high = (total.view(np.uint32) ^ largest.view(np.uint32)).view(np.uint64)
    return int(low ^ high)


def sse2_integer(iterations: int) -> int:
    """What SSE2_INTEGER leaves in RAX."""
    memory = np.zeros((2048, 4), np.uint32)
    a, d = np.full(4, 0x9E3779B9, np.uint32), np.zeros(4, np.uint32)
    for i in range(iterations):
        x = memory[i % 2048] + a
        x = x << np.uint32(13) | x >> np.uint32(19)
        d = np.roll(d, -1) ^ x
        memory[i % 2048] = d
        a = a + d
    low, _ = (np.roll(d, 2) + d).view(np.uint64)
    return int(low)


def avx2_float(iterations: int) -> int:
    """What AVX2_FLOAT leaves in RAX: y = 0.99 y + 0.1 over an array, the sum of the results less their maximum."""
    scale, offset = struct.unpack("<2d", struct.pack("<2Q", 0x3FEFAE147AE147AE, 0x3FB999999999999A))
    memory = np.zeros((1024, 4))
    total, largest = np.zeros(4), np.zeros(4)
    for i in range(iterations):
        memory[i % 1024] = memory[i % 1024] * scale + offset
        total, largest = total + memory[i % 1024], np.maximum(largest, memory[i % 1024])
    total = total - largest
    low, high = total[2:] + total[:2]
    return int.from_bytes(struct.pack("<d", low + high), "little")


def avx2_integer(iterations: int) -> int:
    """What AVX2_INTEGER leaves in RAX."""
    order = np.array([1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12])
    memory = np.zeros((1024, 8), np.uint32)
    factor = np.full(8, 0x9E3779B1, np.uint32)
    d = factor
    for i in range(iterations):
        x = (d + memory[i % 1024]) * factor
        x ^= x >> np.uint32(15)
        shuffled = x.view(np.uint8).reshape(2, 16)[:, order].reshape(32)
        d = np.roll(shuffled.view(np.uint64), -1).view(np.uint32)
        memory[i % 1024] = d
    low, high = (d[4:] + d[:4]).view(np.uint64)
    return (int(low) + int(high)) & MASK


def aes(iterations: int) -> int:
    """What AES leaves in RAX: blocks of ten rounds, each block the input of the next."""
    state, key = bytes(range(8)) + bytes(range(8, 16)), bytes(range(8, 16)) + bytes(range(8))
    for _ in range(iterations):
        state = bytes(a ^ b for a, b in zip(state, key, strict=True))
        for _ in range(9):
            state = aesenc(state, key)
        state = aesenclast(state, key)
    low, high = struct.unpack("<2Q", state)
    return low ^ high


def x87(iterations: int) -> int:
    """What X87 leaves in RAX: the significand of a logistic map in double extended precision."""
    r, x = (np.longdouble(np.uint32(bits).view(np.float32)) for bits in (0x40733333, 0x3ECCCCCD))
    one = np.longdouble(1)
    for _ in range(iterations):
        x = x * ((one - x) * r)
    return int.from_bytes(x.tobytes()[:8], "little")


def chained_sha256(iterations: int) -> int:
    """What SHA256 leaves in RAX: compressions from a zero state, the message changed by each."""
    state, message = [0] * 8, [0] * 16
    for _ in range(iterations):
        last = sha256.rounds(state, message)
        state = [a + b & 0xFFFFFFFF for a, b in zip(state, last, strict=True)]
        message[:4] = [a ^ b for a, b in zip(message[:4], last[:4], strict=True)]
    return state[0] | state[1] << 32


VECTOR_LOOPS = (
    Loop("sse2-float", "multiply, add, maximum of four floats", code(SSE2_FLOAT), 18, 8, sse2_float),
    Loop("sse2-int", "add, rotate, shuffle of four integers over 32 KiB", code(SSE2_INTEGER), 9, 14, sse2_integer),
    Loop("avx2-float", "multiply, add, maximum of four doubles over 32 KiB", code(AVX2_FLOAT), 17, 9, avx2_float,
         frozenset({"avx2"})),
    Loop("avx2-int", "multiply, shift, byte shuffle of eight integers over 32 KiB", code(AVX2_INTEGER), 18, 11,
         avx2_integer, frozenset({"avx2"})),
    Loop("aes", "AES-NI, ten rounds a block", code(AES), 10, 13, aes, frozenset({"aes"})),
    Loop("sha256", "SHA-256 compression in integer instructions", code(SHA256) + sha256.K_BYTES, 17, 4073,
         chained_sha256),
    Loop("x87", "a logistic map in double extended precision", code(X87), 9, 6, x87),
)
