"""A multiboot image around a loop: 32-bit entry, long mode with an identity map, SSE and (where there is) AVX switched
on, the loop, its result in 8 raw bytes on COM1 (least significant first), and the end of the run by writing 0 to port
0xf4. The same file runs in Strata and QEMU.

Multiboot Specification 0.6.96, 3.1 (header) and 3.2 (machine state); long mode as in SDM 3A, Initializing IA-32e Mode;
SSE and AVX as in SDM 1, 13.5 and 14.3.
"""
import struct

from tools.bench.listing import code
from tools.bench.loop import DATA_SIZE, Loop

BASE = 0x100000
BOOT, LONG, LOOP = BASE + 0x20, BASE + 0x100, BASE + 0x200
GDTR, GDT, ITERATIONS = BASE + 0x1000, BASE + 0x1008, BASE + 0x1020
PML4, PDPT, PD = BASE + 0x2000, BASE + 0x3000, BASE + 0x4000
STACK_TOP, DATA = BASE + 0x9000, BASE + 0x10000
FILE_SIZE, MEMORY_SIZE = 0x5000, DATA + DATA_SIZE - BASE
SEGMENT_OFFSET = 0x1000             # in the file: the header must lie within the first 8 KiB

BOOT_CODE = """
    b8 00 20 10 00              mov eax, 102000h        ; PML4
    0f 22 d8                    mov cr3, eax
    0f 20 e0                    mov eax, cr4
    83 c8 20                    or eax, 20h             ; PAE
    0f 22 e0                    mov cr4, eax
    b9 80 00 00 c0              mov ecx, 0C0000080h     ; IA32_EFER
    0f 32                       rdmsr
    0d 00 01 00 00              or eax, 100h            ; LME
    0f 30                       wrmsr
    0f 20 c0                    mov eax, cr0
    0d 00 00 00 80              or eax, 80000000h       ; PG
    0f 22 c0                    mov cr0, eax
    0f 01 15 00 10 10 00        lgdt [101000h]          ; GDTR
    ea 00 01 10 00 08 00        jmp 8:00100100h         ; LONG
"""

LONG_CODE = """
    0f 20 e0                    mov rax, cr4
    0d 00 06 00 00              or eax, 600h            ; OSFXSR and OSXMMEXCPT
    0f 22 e0                    mov cr4, rax
    b8 01 00 00 00              mov eax, 1
    0f a2                       cpuid
    81 e1 00 00 00 14           and ecx, 14000000h      ; XSAVE and AVX
    81 f9 00 00 00 14           cmp ecx, 14000000h
    75 16                       jne 22
    0f 20 e0                    mov rax, cr4
    0d 00 00 04 00              or eax, 40000h          ; OSXSAVE
    0f 22 e0                    mov cr4, rax
    31 c9                       xor ecx, ecx
    0f 01 d0                    xgetbv
    83 c8 07                    or eax, 7               ; x87, SSE and AVX state
    0f 01 d1                    xsetbv
    48 8b 3c 25 20 10 10 00     mov rdi, [101020h]      ; ITERATIONS
    be 00 00 11 00              mov esi, 110000h        ; DATA
    bc 00 90 10 00              mov esp, 109000h        ; STACK_TOP
    b8 00 02 10 00              mov eax, 100200h        ; LOOP
    ff d0                       call rax
    48 89 c3                    mov rbx, rax
    b9 08 00 00 00              mov ecx, 8
    66 ba fd 03                 mov dx, 3FDh            ; line status: bit 5, transmitter empty
    ec                          in al, dx
    a8 20                       test al, 20h
    74 fb                       je -5
    89 d8                       mov eax, ebx
    66 ba f8 03                 mov dx, 3F8h
    ee                          out dx, al
    48 c1 eb 08                 shr rbx, 8
    ff c9                       dec ecx
    75 e8                       jne -24
    31 c0                       xor eax, eax
    66 ba f4 00                 mov dx, 0F4h
    ee                          out dx, al
    f4                          hlt
    eb fd                       jmp -3
"""


def image(loop: Loop, iterations: int) -> bytes:
    """The ELF file that runs `iterations` of `loop`."""
    memory = bytearray(FILE_SIZE)

    def put(address: int, data: bytes) -> None:
        memory[address - BASE:address - BASE + len(data)] = data

    magic = 0x1BADB002
    put(BASE, struct.pack("<III", magic, 0, -magic & 0xffffffff))
    put(BOOT, code(BOOT_CODE))
    put(LONG, code(LONG_CODE))
    put(LOOP, loop.code)
    put(GDTR, struct.pack("<HI", 3 * 8 - 1, GDT))
    put(GDT, struct.pack("<QQQ", 0, 0x00af9a000000ffff, 0x00cf92000000ffff))
    put(ITERATIONS, struct.pack("<Q", iterations))
    put(PML4, struct.pack("<Q", PDPT | 3))              # present, writable
    put(PDPT, struct.pack("<Q", PD | 3))
    put(PD, struct.pack("<Q", 0 | 0x83))                # present, writable, 2 MiB page
    return _elf_header() + bytes(memory)


def _elf_header() -> bytes:
    """An ELF32 header with one segment (multiboot loaders want the 32-bit class whatever the code is)."""
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIIIIIHHHHHH", ident, 2, 3, 1, BOOT, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, SEGMENT_OFFSET, BASE, BASE, FILE_SIZE, MEMORY_SIZE, 7, 0x1000)
    return (header + segment).ljust(SEGMENT_OFFSET, b"\0")
