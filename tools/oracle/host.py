"""The host CPU as an oracle: a traced child process in which single instructions run (ptrace(2)).

The child maps the arena (tools/oracle/arena.py) and stops; the parent sets registers, lets one instruction execute and
reads them back. A signal tells which exception the instruction raised.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal

from tools.oracle.arena import AREAS, ARENA_BYTES, CODE, offset_of
from tools.oracle.case import Case, Outcome
from tools.oracle.xstate import ExtendedState

PTRACE_TRACEME, PTRACE_SINGLESTEP, PTRACE_GETREGS, PTRACE_SETREGS = 0, 9, 12, 13
PTRACE_SETOPTIONS, PTRACE_GETSIGINFO, PTRACE_O_EXITKILL = 0x4200, 0x4202, 0x100000
MAP_FIXED_NOREPLACE = 0x100000
MAP_SHARED, PROT_READ, PROT_WRITE, PROT_EXEC = 1, 1, 2, 4
PTRACE_GETREGSET, PTRACE_SETREGSET, NT_X86_XSTATE = 0x4204, 0x4205, 0x202
SI_KERNEL, BUS_ADRALN, FPE_INTDIV = 0x80, 1, 1
USER_CS64, USER_CS32, USER_DS = 0x33, 0x23, 0x2B
XM, MF, ERROR_SUMMARY = 19, 16, 0x80     # #XM, #MF; FSW's bit that makes a waiting instruction raise #MF
MASK32 = 0xFFFFFFFF

USER_REGS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base "
             "ds es fs gs").split()


class UserRegs(ctypes.Structure):
    """user_regs_struct of the kernel's <asm/user_64.h>."""

    _fields_ = [(name, ctypes.c_uint64) for name in USER_REGS]


class HostUnavailable(Exception):
    """The host cannot serve as an oracle; the message says why."""


class Host:
    """A child process that executes single instructions. Close it, or use it in a `with`."""

    def __init__(self) -> None:
        if platform.system() != "Linux" or platform.machine() != "x86_64":
            raise HostUnavailable(f"the oracle needs an x86-64 Linux host, not {platform.system()} "
                                  f"{platform.machine()}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.restype = ctypes.c_long
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                                    ctypes.c_long]
        file = os.memfd_create("strata-oracle")
        os.ftruncate(file, ARENA_BYTES)
        self.memory = mmap.mmap(file, ARENA_BYTES)
        self._regs = UserRegs()
        self._before = UserRegs()
        self._info = (ctypes.c_int32 * 32)()
        self._extended = ExtendedState()
        self.child = os.fork()
        if self.child == 0:
            self._serve(file)
        os.close(file)
        _, status = os.waitpid(self.child, 0)
        if not os.WIFSTOPPED(status):
            self.child = 0
            why = {1: "ptrace is not permitted here", 2: "the arena's addresses are taken"}
            raise HostUnavailable(why.get(os.waitstatus_to_exitcode(status), f"the child ended, status {status:#x}"))
        self._ptrace(PTRACE_SETOPTIONS, PTRACE_O_EXITKILL)
        self._ptrace(PTRACE_GETREGS, ctypes.addressof(self._before))
        self._extended.allow_all()
        self._ptrace(PTRACE_GETREGSET, self._extended.io_vector, NT_X86_XSTATE)
        self._extended.start()

    def _serve(self, file: int) -> None:
        """The child's side: map the arena and stop. Never returns."""
        try:
            if self._libc.ptrace(PTRACE_TRACEME, 0, None, None) != 0:
                os._exit(1)
            for area in AREAS:
                rights = PROT_READ | (PROT_WRITE if area.writable else 0) | (PROT_EXEC if area.executable else 0)
                got = self._libc.mmap(area.address, area.size, rights, MAP_SHARED | MAP_FIXED_NOREPLACE, file,
                                      offset_of(area))
                if got != area.address:
                    os._exit(2)
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(3)

    def _ptrace(self, request: int, data: int, address: int | None = None) -> None:
        if self._libc.ptrace(request, self.child, address, data) != 0:
            raise HostUnavailable(f"ptrace request {request:#x}: {os.strerror(ctypes.get_errno())}")

    def run(self, case: Case) -> Outcome:
        """Execute the case's instruction, where the caller has written it."""
        return self.execute(case, 1)[0]

    def execute(self, case: Case, count: int) -> tuple[Outcome, int]:
        """Execute up to `count` instructions from the case's state. Gives the outcome and how many of them ran."""
        regs = self._regs
        ctypes.memmove(ctypes.addressof(regs), ctypes.addressof(self._before), ctypes.sizeof(regs))
        (regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi,
         regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15) = case.registers
        regs.rip, regs.eflags, regs.fs_base, regs.gs_base = case.rip, case.flags, case.fs_base, case.gs_base
        regs.orig_rax = 0xFFFF_FFFF_FFFF_FFFF            # no system call to restart
        regs.cs = USER_CS32 if case.bits == 32 else USER_CS64
        regs.ds = regs.es = regs.fs = regs.gs = USER_DS
        self._ptrace(PTRACE_SETREGS, ctypes.addressof(regs))
        if case.vector:
            self._extended.put(case.vector)
            self._ptrace(PTRACE_SETREGSET, self._extended.io_vector, NT_X86_XSTATE)
        return self.step(case, count)

    def step(self, case: Case, count: int = 1) -> tuple[Outcome, int]:
        """As `execute`, from where the child is."""
        regs = self._regs
        ran = 0
        while ran < count:
            self._ptrace(PTRACE_SINGLESTEP, 0)
            _, status = os.waitpid(self.child, 0)
            if not os.WIFSTOPPED(status):
                self.child = 0
                raise HostUnavailable(f"the traced child ended (status {status:#x}) at {case.describe()}")
            if os.WSTOPSIG(status) != signal.SIGTRAP:
                break
            ran += 1
        self._ptrace(PTRACE_GETREGS, ctypes.addressof(regs))
        fault, address = None, 0
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            fault, address = self._exception(os.WSTOPSIG(status))
        registers = (regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi,
                     regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15)
        vector = None
        if case.vector:
            self._ptrace(PTRACE_GETREGSET, self._extended.io_vector, NT_X86_XSTATE)
            vector = self._extended.get()
            unmasked = vector.mxcsr & ~(vector.mxcsr >> 7) & 0x3F
            if fault == XM and vector.fsw & ERROR_SUMMARY and not unmasked:
                fault = MF
        return Outcome(registers, regs.rip, regs.eflags, fault, address, vector, (regs.fs_base, regs.gs_base)), ran

    def _exception(self, number: int) -> tuple[int, int]:
        """(vector, address of a page fault) behind a signal (Linux arch/x86/kernel/traps.c)."""
        ctypes.memset(self._info, 0, ctypes.sizeof(self._info))
        self._ptrace(PTRACE_GETSIGINFO, ctypes.addressof(self._info))
        code = self._info[2]
        if number == signal.SIGSEGV:
            if code == SI_KERNEL:
                return 13, 0
            return 14, (self._info[4] & MASK32) | (self._info[5] & MASK32) << 32
        if number == signal.SIGBUS:
            return (17 if code == BUS_ADRALN else 12), 0
        if number == signal.SIGFPE:
            return (0 if code == FPE_INTDIV else 19), 0
        if number == signal.SIGILL:
            return 6, 0
        raise HostUnavailable(f"the child stopped with signal {number}")

    def write_code(self, slot_offset: int, code: bytes) -> None:
        """Put bytes at an offset of the CODE area."""
        at = offset_of(CODE) + slot_offset
        self.memory[at:at + len(code)] = code

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the arena, which lie in one area."""
        area = next(a for a in AREAS if a.address <= address < a.end)
        at = offset_of(area) + address - area.address
        return self.memory[at:at + size]

    def close(self) -> None:
        """End the child."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = 0

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cpu_flags() -> set[str]:
    """The features that Linux reports for the host CPU."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()
