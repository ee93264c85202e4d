"""A request through a GHCB: its fields, what it lacks, and how it is answered (GHCB specification, 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.planes.snp import exits, ghcb, vmsa
from emu.planes.snp.ghcb import Ghcb

if TYPE_CHECKING:
    from emu.planes.snp.hypervisor.base import Base
    from emu.vcpu import VCpu

MASK64 = (1 << 64) - 1
SCRATCH_PAGES = 16                      # that KVM takes outside the GHCB

# Fields that a request must have besides the exit code and its two operands (KVM's sev_es_validate_vmgexit)
REQUIRED: dict[int, tuple[str, ...]] = {
    exits.READ_DR7: (), exits.WRITE_DR7: ("rax",), exits.RDPMC: ("rcx",), exits.CPUID: ("rax", "rcx"),
    exits.MSR: ("rcx",), exits.VMMCALL: ("rax", "cpl"), exits.MONITOR: ("rax", "rcx", "rdx"),
    exits.MWAIT: ("rax", "rcx"), exits.MMIO_READ: ("sw_scratch",), exits.MMIO_WRITE: ("sw_scratch",),
    exits.PSC: ("sw_scratch",), exits.APIC_IDS: ("rax",), exits.EXT_GUEST_REQUEST: ("rax", "rbx"),
    exits.SECURE_AVIC: ("rax",),
}


class Malformed(Exception):
    """The answer is SW_EXITINFO1 = 2 with one of the reasons of emu/planes/snp/ghcb.py."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class Inject(Exception):
    """The answer is an exception that the guest is to raise: #UD or #GP."""

    def __init__(self, vector: int, error: int | None = None) -> None:
        super().__init__(vector)
        self.event = vector | vmsa.EVENT_EXCEPTION | vmsa.EVENT_VALID
        if error is not None:
            self.event |= vmsa.EVENT_ERROR_VALID | error << vmsa.EVENT_ERROR_SHIFT


class Call:
    """One request of a vCPU's active plane, whose GHCB at `gpa` was copied before it was looked at. Results are set as
    items; `info2` is SW_EXITINFO2 of the answer."""

    def __init__(self, hypervisor: Base, vcpu: VCpu, gpa: int, page: bytes) -> None:
        self.hypervisor, self.vcpu, self.gpa = hypervisor, vcpu, gpa
        self.number = vcpu.group.active
        self.ghcb = Ghcb(bytearray(page))
        self.info2 = 0
        self.results: dict[str, int] = {}
        self.after: Callable[[], None] = lambda: None   # is done once the answer is written
        self.outside: dict[int, bytes] = {}     # shared memory that the answer changes, by guest-physical address

    def __getitem__(self, name: str) -> int:
        """A field of the request. Malformed: it is not marked valid."""
        try:
            return self.ghcb[name]
        except KeyError:
            raise Malformed(ghcb.MISSING_INPUT) from None

    def __setitem__(self, name: str, value: int) -> None:
        """A field of the answer."""
        self.results[name] = value & MASK64

    @property
    def code(self) -> int:
        """SW_EXITCODE."""
        return self["sw_exitcode"]

    @property
    def info(self) -> tuple[int, int]:
        """SW_EXITINFO1 and SW_EXITINFO2."""
        return self["sw_exitinfo1"], self["sw_exitinfo2"]

    def check(self) -> None:
        """Malformed: a field is missing that the request must have."""
        needed = ("sw_exitcode", "sw_exitinfo1", "sw_exitinfo2", *REQUIRED.get(self.code, ()))
        for name in needed:
            self[name]

    def scratch(self, size: int) -> bytes:
        """`size` bytes of the scratch area. Malformed: they leave the shared buffer, or shared memory."""
        at = self["sw_scratch"]
        if self._inside(at):
            if not self._fits(at, size):
                raise Malformed(ghcb.INVALID_SCRATCH)
            return bytes(self.ghcb.page[at - self.gpa:at - self.gpa + size])
        data = self.hypervisor.read_shared(at, size) if size <= SCRATCH_PAGES * PAGE else None
        if data is None:
            raise Malformed(ghcb.INVALID_SCRATCH)
        return data

    def write_scratch(self, data: bytes, offset: int = 0) -> None:
        """Write to the scratch area, `offset` bytes from its beginning."""
        at = self["sw_scratch"] + offset
        if self._inside(at):
            if not self._fits(at, len(data)):
                raise Malformed(ghcb.INVALID_SCRATCH)
            self.ghcb.page[at - self.gpa:at - self.gpa + len(data)] = data
        else:
            self.outside[at] = data

    def _inside(self, at: int) -> bool:
        return self.gpa <= at < self.gpa + PAGE

    def _fits(self, at: int, size: int) -> bool:
        first = self.gpa + ghcb.SHARED_BUFFER
        return first <= at and at + size <= first + ghcb.SHARED_BUFFER_SIZE

    def answer(self, info1: int = ghcb.DONE) -> None:
        """Write the answer: only what it says is marked valid."""
        self.ghcb.valid = 0
        for name, value in self.results.items():
            self.ghcb[name] = value
        self.ghcb["sw_exitinfo1"], self.ghcb["sw_exitinfo2"] = info1, self.info2 & MASK64
        self.hypervisor.write_shared(self.gpa, bytes(self.ghcb.page))
        for at, data in self.outside.items():
            self.hypervisor.write_shared(at, data)
