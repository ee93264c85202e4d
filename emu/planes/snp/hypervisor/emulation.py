"""Instructions and devices that the hypervisor emulates for the guest's #VC handler (GHCB specification, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator

from emu.irq.lapic_msr import GeneralProtection
from emu.paravirt import kvm
from emu.planes.snp import ghcb
from emu.planes.snp.hypervisor.call import Call, Inject, Malformed
from emu.planes.snp.hypervisor.msr_protocol import MsrProtocol
from jit import exits as engine_exits
from jit import layout

GP, MASK32 = 13, 0xFFFF_FFFF
LARGEST_ACCESS = 8                      # bytes that a device is asked for at once
XSTATE_LEAF = 0xD
READ, WRITE = 0, 1                      # MSR: SW_EXITINFO1


def parts(size: int) -> Iterator[tuple[int, int]]:
    """(offset, bytes) of the accesses that `size` bytes of MMIO are made of."""
    at = 0
    while at < size:
        part = min(LARGEST_ACCESS, 1 << (size - at).bit_length() - 1)
        yield at, part
        at += part


class Emulation(MsrProtocol):
    """One method for each event."""

    def cpuid(self, call: Call) -> None:
        """RAX leaf, RCX subleaf, and for leaf 0xD XCR0, and XSS if it is given."""
        leaf, subleaf = call["rax"] & MASK32, call["rcx"] & MASK32
        channel = self.channel(call.vcpu)
        if leaf == XSTATE_LEAF:
            channel.xcr0, channel.xss = call["xcr0"], call.ghcb.get("xss", 0)
        for name, value in zip(("rax", "rbx", "rcx", "rdx"), self.read_cpuid(call.vcpu, leaf, subleaf), strict=True):
            call[name] = value

    def msr(self, call: Call) -> None:
        """INFO1: 0 RDMSR, 1 WRMSR."""
        index, write = call["rcx"] & MASK32, call.info[0]
        if write not in (READ, WRITE):
            raise Malformed(ghcb.INVALID_INPUT)
        try:
            if write:
                self.write_msr(call, index, call["rdx"] << 32 | call["rax"] & MASK32)
            else:
                value = self.read_msr(call, index)
                call["rax"], call["rdx"] = value & MASK32, value >> 32
        except GeneralProtection:
            raise Inject(GP, 0) from None

    def read_msr(self, call: Call, index: int) -> int:
        """An MSR's value. GeneralProtection: there is none."""
        return call.vcpu.msrs.read(index)

    def write_msr(self, call: Call, index: int, value: int) -> None:
        """Write an MSR, likewise."""
        call.vcpu.msrs.write(index, value & (1 << 64) - 1)

    def ioio(self, call: Call) -> None:
        """INFO1 as the processor's; a string's data is in the scratch area, INFO2 counts its elements."""
        info, count = call.info
        port, size = info >> ghcb.IOIO_PORT_SHIFT & 0xFFFF, info >> ghcb.IOIO_SIZE_SHIFT & 7
        if size not in (1, 2, 4):
            raise Malformed(ghcb.INVALID_INPUT)
        reads = bool(info & ghcb.IOIO_IN)
        if not info & ghcb.IOIO_STRING:
            mask = (1 << 8 * size) - 1
            if reads:
                call["rax"] = self.port(call, port, size, None) & mask
            else:
                self.port(call, port, size, call["rax"] & mask)
            return
        count = count if info & ghcb.IOIO_REP else 1
        data = call.scratch(count * size)
        if reads:
            call.write_scratch(b"".join(self.port(call, port, size, None).to_bytes(size, "little")
                                        for _ in range(count)))
        else:
            for at in range(0, len(data), size):
                self.port(call, port, size, int.from_bytes(data[at:at + size], "little"))

    def port(self, call: Call, port: int, size: int, value: int | None) -> int:
        """An access to an I/O port."""
        kind = engine_exits.IO_PORT_READ if value is None else engine_exits.IO_PORT_WRITE
        return self.machine.device_access(call.vcpu, kind, port, size, value or 0)

    def mmio_read(self, call: Call) -> None:
        """INFO1 address, INFO2 bytes; the data goes to the scratch area."""
        gpa, size = self._mmio(call)
        call.write_scratch(b"".join(
            self.machine.device_access(call.vcpu, engine_exits.IO_MMIO_READ, gpa + at, part, 0).to_bytes(part, "little")
            for at, part in parts(size)))

    def mmio_write(self, call: Call) -> None:
        """Likewise, from the scratch area."""
        gpa, size = self._mmio(call)
        data = call.scratch(size)
        for at, part in parts(size):
            value = int.from_bytes(data[at:at + part], "little")
            self.machine.device_access(call.vcpu, engine_exits.IO_MMIO_WRITE, gpa + at, part, value)

    def _mmio(self, call: Call) -> tuple[int, int]:
        gpa, size = call.info
        if not size:
            raise Malformed(ghcb.INVALID_INPUT)
        call.scratch(size)
        return gpa, size

    def rdtsc(self, call: Call) -> None:
        """The time-stamp counter."""
        value = self.machine.clock.tsc
        call["rax"], call["rdx"] = value & MASK32, value >> 32 & MASK32

    def rdtscp(self, call: Call) -> None:
        """The same, and TSC_AUX."""
        self.rdtsc(call)
        call["rcx"] = call.vcpu.plane.get(layout.TSC_AUX)

    def rdpmc(self, call: Call) -> None:
        """A performance counter."""
        try:
            value = call.vcpu.msrs.read_counter(call["rcx"] & MASK32)
        except GeneralProtection:
            raise Inject(GP, 0) from None
        call["rax"], call["rdx"] = value & MASK32, value >> 32

    def vmmcall(self, call: Call) -> None:
        """KVM's hypercalls, of which there is the one that needs nothing but an exit."""
        number = call["rax"]
        if call["cpl"]:
            call["rax"] = -kvm.EPERM
        elif number == kvm.VAPIC_POLL_IRQ:
            call["rax"] = 0
        else:
            self.guest.report(f"KVM hypercall {number}")
            call["rax"] = -kvm.ENOSYS

    def flush_caches(self, call: Call) -> None:
        """INVD and WBINVD: nothing to do."""

    def monitor(self, call: Call) -> None:
        """MONITOR: nothing is watched."""

    def mwait(self, call: Call) -> None:
        """MWAIT: the wait ends at once, which any wait may."""

    def read_dr7(self, call: Call) -> None:
        """DR7 as the guest last wrote it."""
        call["rax"] = self.channel(call.vcpu).dr7

    def write_dr7(self, call: Call) -> None:
        """RAX is kept for the guest; without DebugSwap no breakpoint works."""
        self.channel(call.vcpu).dr7 = call["rax"]

    def nmi_complete(self, call: Call) -> None:
        """The guest's NMI handler has ended."""
        call.vcpu.plane.set(layout.NMI_BLOCKED, 0)
