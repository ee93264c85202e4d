"""One comparison: an instruction with the state it starts from, and the state in which it left a CPU."""

from typing import NamedTuple

from tools.oracle.arena import CODE

GPR_NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
VECTOR_NAMES = {0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF",
                17: "#AC", 19: "#XM"}


ZMM_BYTES, ZMMS, OPMASKS = 64, 32, 8


class VectorState(NamedTuple):
    """The FPU file's part of a state: MXCSR, ZMM0-31 (64 bytes each), the x87 registers in physical order (10 of every
    16 bytes) with FCW, FSW, the abridged tag word and the pointers to the last instruction, and K0-7 (8 bytes each)."""

    mxcsr: int
    zmm: bytes
    st: bytes
    fcw: int = 0x37F
    fsw: int = 0
    ftw: int = 0
    fop: int = 0
    fip: int = 0
    fdp: int = 0
    opmask: bytes = bytes(8 * OPMASKS)

    def describe(self) -> str:
        """The registers that are not zero."""
        parts = [f"zmm{n}={self.register(n):x}" for n in range(ZMMS)]
        parts += [f"k{n}={self.mask(n):x}" for n in range(OPMASKS)]
        parts += [f"mm{n}={self.st[16 * n:16 * n + 10][::-1].hex()}" for n in range(8)]
        parts += [f"{name}={getattr(self, name):x}" for name in ("fcw", "fsw", "ftw", "fop", "fip", "fdp")]
        return " ".join((f"mxcsr={self.mxcsr:x}", *(p for p in parts if set(p.partition("=")[2]) != {"0"})))

    def register(self, number: int) -> int:
        """The 512 bits of a vector register."""
        return int.from_bytes(self.zmm[ZMM_BYTES * number:ZMM_BYTES * (number + 1)], "little")

    def mask(self, number: int) -> int:
        """The 64 bits of an opmask register."""
        return int.from_bytes(self.opmask[8 * number:8 * number + 8], "little")


class Case(NamedTuple):
    """An instruction and what it starts from. `bits` is the size of code, 32 or 64; `rip` is where it lies."""

    code: bytes
    bits: int
    registers: tuple[int, ...]          # RAX ... R15, in the manual's numbering
    flags: int
    fs_base: int
    gs_base: int
    pokes: tuple[tuple[int, bytes], ...] = ()   # memory that differs from the arena's contents
    vector: VectorState | None = None           # None: the instruction does not touch it
    rip: int = CODE.address

    def describe(self) -> str:
        """One line from which the case can be built again."""
        registers = " ".join(f"{n}={v:x}" for n, v in zip(GPR_NAMES, self.registers, strict=True))
        pokes = "".join(f" [{at:x}]={data.hex()}" for at, data in self.pokes)
        vector = f" {self.vector.describe()}" if self.vector else ""
        return (f"{self.bits}-bit {self.code.hex()} at={self.rip:x} {registers} flags={self.flags:x} "
                f"fs={self.fs_base:x} gs={self.gs_base:x}{pokes}{vector}")


class Outcome(NamedTuple):
    """State after the instruction. Where it faulted, `fault` is the vector and the rest is unchanged; `address` is that
    of a page fault."""

    registers: tuple[int, ...]
    rip: int
    flags: int
    fault: int | None = None
    address: int = 0
    vector: VectorState | None = None
    bases: tuple[int, int] = (0, 0)     # FS.base, GS.base
