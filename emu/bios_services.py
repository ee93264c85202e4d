"""What of a BIOS's services there is for kernels that a loader starts in its place: real-mode vectors with the least
behind them (IBM PS/2 and PC BIOS Interface Technical Reference, section 2; ACPI specification 6.4, 15.1, for INT 15h
AX=E820h).

Kernels that go back to real mode early (Xen's does) ask there for memory and screen. There is no disk and no key.
"""

from __future__ import annotations

import struct

from emu.bios_data import put_beside
from emu.load import ram
from emu.load.model import Segment
from emu.mem.ram import PhysicalMemory

FIRST_IRQ_VECTOR, SECOND_IRQ_VECTOR = 0x08, 0x70        # of the 8259A pair
CODE = 0xFE000                                          # F000:E000, where a BIOS has its POST
RESET_VECTOR, MODEL_BYTE, MODEL_AT = 0xFFFF0, 0xFC, 0xFFFFE
RESET_CODE = bytes.fromhex("baf90c b006 ee f4")         # MOV DX, CF9h; MOV AL, 6; OUT DX, AL; HLT
# Words at `sizes`: KiB from 1 MiB to 16 MiB, 64 KiB blocks above that, KiB from 1 MiB on; then the entries of the map.
SERVICES = """
end_both:   50b020e6a0eb0d                   ; push ax; mov al, 20h; out a0h, al; jmp eoi
timer:      1e6a401f66ff066c001f             ; push ds; push 40h; pop ds; inc dword [6ch]; pop ds
end_master: 50b020                           ; push ax; mov al, 20h
eoi:        e62058                           ; out 20h, al; pop ax
return:     cf                               ; iret
video:      80fc0f7506b80350b700cf           ; cmp ah, 0fh; jne 1f; mov ax, 5003h; mov bh, 0; iret
            3d001a7506b01abb0800cf           ; 1: cmp ax, 1a00h; jne 2f; mov al, 1ah; mov bx, 8; iret
            80fc12750c80fb107518bb0300       ; 2: cmp ah, 12h; jne 3f; cmp bl, 10h; jne 4f; mov bx, 3
            b90900cf                         ; mov cx, 9; iret
            80fc03750cb907061e6a401f         ; 3: cmp ah, 3; jne 4f; mov cx, 0607h; push ds; push 40h; pop ds
            8b1650001fcf                     ; mov dx, [50h]; pop ds; 4: iret
equipment:  1e6a401fa110001fcf               ; push ds; push 40h; pop ds; mov ax, [10h]; pop ds; iret
memory:     1e6a401fa113001fcf               ; push ds; push 40h; pop ds; mov ax, [13h]; pop ds; iret
keyboard:   5589e5834e06405d31c0cf           ; push bp; mov bp, sp; or word [bp+6], ZF; pop bp; xor ax, ax; iret
clock:      84e4751f1e6a401f8b0e6e00         ; test ah, ah; jne unknown; push ds; push 40h; pop ds; mov cx, [6eh]
            8b166c001f31c0cf                 ; mov dx, [6ch]; pop ds; xor ax, ax; iret
system:     3d20e874353d01e8742180fc88740f   ; cmp ax, e820h; je map; cmp ax, e801h; je above; cmp ah, 88h; je extended
unknown:    b486                             ; mov ah, 86h
failed:     5589e5834e06015dcf               ; push bp; mov bp, sp; or word [bp+6], CF; pop bp; iret
disk:       b401ebf3                         ; mov ah, 1; jmp failed
extended:   2ea1fde0                         ; mov ax, cs:[sizes+4]
done:       5589e5836606fe5dcf               ; push bp; mov bp, sp; and word [bp+6], ~CF; pop bp; iret
above:      2ea1f9e02e8b1efbe0               ; mov ax, cs:[sizes]; mov bx, cs:[sizes+2]
            89c189daebe8                     ; mov cx, ax; mov dx, bx; jmp done
map:        6681fa50414d5375cc2e3b1effe0     ; cmp edx, "SMAP"; jne unknown; cmp bx, cs:[sizes+6]
            73c55657536bf31481c601e1         ; jae unknown; push si, di, bx; imul si, bx, 20; add si, sizes+8
            b90a00fc2ef3a55b5f5e66b850414d53 ; mov cx, 10; cld; rep movsw cs:[si]; pop bx, di, si; mov eax, "SMAP"
            66b914000000432e3b1effe072b0     ; mov ecx, 20; inc bx; cmp bx, cs:[sizes+6]; jb done
            6631dbebab                       ; xor ebx, ebx; jmp done
sizes:                                       ; with the number of entries as fourth
"""
HANDLERS = {0x08: "timer", 0x10: "video", 0x11: "equipment", 0x12: "memory", 0x13: "disk", 0x15: "system",
            0x16: "keyboard", 0x1A: "clock"}


def assemble(listing: str) -> tuple[bytes, dict[str, int]]:
    """The bytes of a listing, and the offset of each label in it."""
    code, labels = b"", {}
    for line in listing.strip().splitlines():
        label, colon, rest = line.split(";")[0].rpartition(":")
        if colon:
            labels[label] = len(code)
        code += bytes.fromhex(rest)
    return code, labels


def leave(memory: PhysicalMemory, size: int, reserved: int, used: tuple[Segment, ...]) -> None:
    """Put all of it there, but for what the image has in the same place. `size`, `reserved`: as for ram.address_map."""
    code, labels = assemble(SERVICES)
    entries = b"".join(struct.pack("<QQI", r.base, r.size, r.type) for r in ram.address_map(size, reserved))
    extended = ram.upper_kib(size, reserved)
    words = (min(extended, 15 << 10), max(extended - (15 << 10), 0) >> 6, min(extended, 0xFFFF), len(entries) // 20)
    put_beside(memory, {CODE: code + struct.pack("<4H", *words) + entries, RESET_VECTOR: RESET_CODE,
                        MODEL_AT: bytes((MODEL_BYTE,)), 0: _vectors(labels)}, used)


def _vectors(labels: dict[str, int]) -> bytes:
    """256 of them; those of hardware interrupts do no more than end them, most others return."""
    table = b""
    for vector in range(256):
        other = {FIRST_IRQ_VECTOR >> 3: "end_master", SECOND_IRQ_VECTOR >> 3: "end_both"}.get(vector >> 3, "return")
        table += struct.pack("<2H", (CODE & 0xFFFF) + labels[HANDLERS.get(vector, other)], CODE >> 4 & 0xF000)
    return table
