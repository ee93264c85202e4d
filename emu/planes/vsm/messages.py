"""Payloads of intercept messages, byte for byte (TLFS, "Intercepts", message formats; the long memory message is that
of its version 6)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.irq.lapic import LocalApic
from emu.planes.vsm.vp_state import segment_value
from jit import fpu_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane

UNMAPPED_GPA, GPA_INTERCEPT, UNRECOVERABLE_EXCEPTION = 0x80000000, 0x80000001, 0x80000021
X64_IO_PORT, X64_MSR, X64_CPUID, EXCEPTION, X64_REGISTER, X64_SIPI = (
    0x80010000, 0x80010001, 0x80010002, 0x80010003, 0x80010006, 0x80010009)
HYPERCALL = 0x80000050

KINDS = {UNMAPPED_GPA: "unmapped memory", GPA_INTERCEPT: "memory", UNRECOVERABLE_EXCEPTION: "unrecoverable exception",
         X64_IO_PORT: "I/O port", X64_MSR: "MSR", X64_CPUID: "CPUID", X64_REGISTER: "register",
         EXCEPTION: "exception", X64_SIPI: "start-up IPI", HYPERCALL: "hypercall"}
READ, WRITE, EXECUTE = 0, 1, 2              # access type
ACCESSES = ("read", "write", "execute")
WRITE_BACK = 6                              # cache type
RFLAGS_RF = 1 << 16
CR0_PE, CR0_AM, EFER_LMA, DR7_ENABLED = 1, 1 << 18, 1 << 10, 0xFF
HYPERCALL_OUTPUT_PENDING, TLB_LOCKED = 1 << 2, 1 << 3       # memory access information
SEGMENT_RESERVED = 0x0F00 << 112                            # attribute bits 11:8 of a segment value
GPRS = 16
STRING, REP = 1 << 3, 1 << 4                                # port access information
ERROR_CODE_VALID, SOFTWARE_EXCEPTION = 1, 2                 # exception information
HYPERCALL_XMM = 6


def execution_state(plane: Plane) -> int:
    """1:0 CPL, 2 CR0.PE, 3 CR0.AM, 4 EFER.LMA, 5 debug active, 6 interruption pending, 10:7 VTL, 12 shadow."""
    cr0 = plane.get(layout.CR0)
    return (plane.get(layout.CPL) | bool(cr0 & CR0_PE) << 2 | bool(cr0 & CR0_AM) << 3
            | bool(plane.get(layout.EFER) & EFER_LMA) << 4 | bool(plane.get(layout.DR7) & DR7_ENABLED) << 5
            | plane.get(layout.FAULT_PENDING) << 6 | plane.number << 7 | bool(plane.get(layout.SHADOW)) << 12)


def _segment(plane: Plane, number: int) -> bytes:
    return (segment_value(plane, number) & ~SEGMENT_RESERVED).to_bytes(16, "little")


def header(plane: Plane, lapic: LocalApic, length: int, access: int) -> bytes:
    """The 40 bytes that start every intercept message: u32 VP, u8 instruction length and CR8, u8 access type, u16
    execution state, CS, RIP, RFLAGS."""
    return (struct.pack("<IBBH", plane.vcpu, length | lapic.tpr >> 4 << 4, access, execution_state(plane))
            + _segment(plane, layout.CS) + struct.pack("<QQ", plane.get(layout.RIP), plane.rflags | RFLAGS_RF))


def memory(plane: Plane, lapic: LocalApic, length: int, access: int, gpa: int, code: bytes, info: int = 0) -> bytes:
    """A denied access to guest-physical memory, 240 bytes. The linear address is not given. `code`: the instruction's
    bytes, empty for a fetch."""
    return (header(plane, lapic, length, access)
            + struct.pack("<IBBBBQQ", WRITE_BACK, len(code), info, 0, 0, 0, gpa) + _context(plane, code))


def _context(plane: Plane, code: bytes) -> bytes:
    """16 instruction bytes, DS, SS, the general registers."""
    return (code.ljust(16, b"\0") + _segment(plane, layout.DS) + _segment(plane, layout.SS)
            + b"".join(plane.get(layout.gpr(n)).to_bytes(8, "little") for n in range(GPRS)))


def exception(plane: Plane, lapic: LocalApic, code: bytes, vector: int, error: int | None, parameter: int,
              software: bool) -> bytes:
    """u16 vector, u8 information, u8 byte count, u32 error code, u64 parameter, u64 0, instruction bytes and registers
    as of memory accesses. `parameter`: the address of a page fault."""
    info = (error is not None) * ERROR_CODE_VALID | software * SOFTWARE_EXCEPTION
    return (header(plane, lapic, len(code), EXECUTE)
            + struct.pack("<HBBIQQ", vector, info, len(code), error or 0, parameter, 0) + _context(plane, code))


def hypercall(plane: Plane, lapic: LocalApic) -> bytes:
    """RAX, RBX, RCX, RDX, R8, RSI, RDI, XMM0 to XMM5, u32 flags, 12 bytes of 0."""
    length = plane.get(layout.NEXT_RIP) - plane.get(layout.RIP)
    xmm = (plane.fpu_get(fpu_layout.xmm(n) + 8 * half) for n in range(HYPERCALL_XMM) for half in (0, 1))
    return (header(plane, lapic, length, EXECUTE)
            + struct.pack("<7Q", *(plane.get(layout.gpr(n)) for n in (0, 3, 1, 2, 8, 6, 7)))
            + b"".join(word.to_bytes(8, "little") for word in xmm) + bytes(16))


def sipi(plane: Plane, lapic: LocalApic, wanted: int, vector: int) -> bytes:
    """u32 target virtual processor, u32 vector."""
    return header(plane, lapic, 0, EXECUTE) + struct.pack("<II", wanted, vector)


def msr(plane: Plane, lapic: LocalApic, length: int, index: int, value: int | None) -> bytes:
    """RDMSR (no value) or WRMSR: u32 MSR, u32 0, RDX, RAX."""
    return header(plane, lapic, length, READ if value is None else WRITE) + struct.pack(
        "<IIQQ", index, 0, plane.get(layout.gpr(2)), plane.get(layout.gpr(0)))


def register(plane: Plane, lapic: LocalApic, length: int, access: int, name: int, value: int) -> bytes:
    """An access to a register by its VP register name: u8 flags, 3 zero bytes, u32 name, 128-bit value."""
    return (header(plane, lapic, length, access) + struct.pack("<II", 0, name) + value.to_bytes(16, "little"))


def io_port(plane: Plane, lapic: LocalApic, code: bytes, access: int, port: int, size: int, info: int) -> bytes:
    """u16 port, u8 size and STRING and REP, u8 byte count, u32 0, RAX, 16 instruction bytes, DS, ES, RCX, RSI, RDI."""
    return (header(plane, lapic, len(code), access)
            + struct.pack("<HBBIQ", port, size | info, len(code), 0, plane.get(layout.gpr(0)))
            + code.ljust(16, b"\0") + _segment(plane, layout.DS) + _segment(plane, layout.ES)
            + struct.pack("<3Q", *(plane.get(layout.gpr(n)) for n in (1, 6, 7))))


def cpuid(plane: Plane, lapic: LocalApic, length: int, default: tuple[int, int, int, int]) -> bytes:
    """RAX, RCX, RDX, RBX, then the default results of the same. `default`: EAX, EBX, ECX, EDX."""
    eax, ebx, ecx, edx = default
    return header(plane, lapic, length, EXECUTE) + struct.pack(
        "<8Q", *(plane.get(layout.gpr(n)) for n in (0, 1, 2, 3)), eax, ecx, edx, ebx)
