"""The path through two VMPLs of an SEV-SNP guest: a request of VMPL1 to VMPL0 by RUN_VMPL, and the way back.

The guest is two loops in an address space without anything else, which is laid down here as an SVSM would leave it: a
VMSA for VMPL1, and access to all memory for it. Both ask through the GHCB MSR protocol (GHCB specification, 0x016).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from emu import boot
from emu.load.model import SegmentRegister, Symbol
from emu.load.symbols import SymbolTable
from emu.machine import Machine
from emu.planes.snp import vmsa
from emu.planes.snp.guest import SnpGuest
from emu.planes.snp.options import C_BIT
from jit import layout
from tools.bench.listing import code
from tools.bench.switch.rig import GuestError, Rig
from tools.bench.switch.scenario import CALL, SHARED, Scenario

PML4, PDPT, PD, GDT, VMSA = (0x10000 + 0x1000 * n for n in range(5))
CLIENT, SERVICE, STACK = 0x20000, 0x21000, 0x30000
MEMORY, LARGE, PRIVATE = 8 << 20, 0x200000, 1 << C_BIT
PRESENT_WRITABLE_LARGE, TABLE = 0x83, 3
CODE_SEGMENT, DATA_SEGMENT = SegmentRegister(8, 0, 0xFFFFFFFF, 0xA09B), SegmentRegister(16, 0, 0xFFFFFFFF, 0xC093)
ALL_RIGHTS = 0x1F
SLICE = 1_000_000
REQUEST = """
b9 30 01 01 c0  mov ecx,0C0010130h
b8 16 00 00 00  mov eax,16h
ba {vmpl:02x} 00 00 00  mov edx,{vmpl}
0f 30           wrmsr
f3 0f 01 d9     vmgexit
eb e9           jmp short back
"""
END = 21                        # bytes up to the jump


def policies() -> tuple[str, ...]:
    """As KVM does it: who asks is stopped, and whom it asks for runs."""
    return ("kvm",)


def scenarios(policy: str) -> Iterator[Scenario]:
    """The one path that there is."""
    yield Scenario("snp", policy, CALL, "RUN_VMPL of VMPL0 from VMPL1, and back", partial(SnpRig, policy))


class SnpRig(Rig):
    """A guest whose VMPL1 asks for VMPL0 again and again."""

    def __init__(self, policy: str, fpu: str, engine: str) -> None:
        machine = Machine(memory=MEMORY, planes="snp", policy=policy, engine=engine)
        machine.symbols = SymbolTable((Symbol(CLIENT, 0, "path_call"), Symbol(CLIENT + END, 0, "path_call_end"),
                                       Symbol(SERVICE, 0, "service")))
        super().__init__(machine, "path_call", "path_call_end")
        assert isinstance(machine.plane_model, SnpGuest)
        self.guest = machine.plane_model
        self._lay_down()
        self._vmpl0()
        self._vmpl1()
        if fpu == SHARED:               # not what a VMSA allows: what it would save if it did
            first, second = self.vcpu.planes[:2]
            second.use_fpu(first.get(layout.FPU))

    def _lay_down(self) -> None:
        write = self.machine.memory.write
        write(PML4, struct.pack("<Q", PDPT | TABLE | PRIVATE))
        write(PDPT, struct.pack("<Q", PD | TABLE | PRIVATE))
        write(PD, b"".join(struct.pack("<Q", at | PRESENT_WRITABLE_LARGE | PRIVATE)
                           for at in range(0, MEMORY, LARGE)))
        write(GDT, struct.pack("<3Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF))
        for at, vmpl in ((CLIENT, 0), (SERVICE, 1)):
            write(at, code(REQUEST.format(vmpl=vmpl)))

    def _start(self, number: int, rip: int) -> None:
        """64-bit mode at an address."""
        plane = self.vcpu.planes[number]
        boot.reset(plane)
        for segment in range(6):
            boot.set_segment(plane, segment, CODE_SEGMENT if segment == layout.CS else DATA_SEGMENT)
        for field, value in ((layout.RIP, rip), (layout.gpr(4), STACK + 0x1000 * (number + 1)),
                             (layout.CR0, 0x80010011), (layout.CR4, 0x620), (layout.EFER, 0x1D00),
                             (layout.CR3, PML4 | PRIVATE), (layout.GDTR_BASE, GDT), (layout.GDTR_LIMIT, 23),
                             (layout.CPL, 0), (layout.ACTIVITY, 0)):
            plane.set(field, value)
        plane.update_mode()
        plane.flush()

    def _vmpl0(self) -> None:
        self._start(0, SERVICE)
        self.guest.loaded()
        self.vcpu.run(0)

    def _vmpl1(self) -> None:
        guest, hypervisor = self.guest, self.guest.hypervisor
        state = vmsa.Vmsa(bytearray(guest.world.view(hypervisor.vmsa_page(0)).page))
        for name, value in (("vmpl", 1), ("rip", CLIENT), ("rsp", STACK + 0x2000), ("rflags", 2), ("vintr_ctrl", 0)):
            state[name] = value
        self.machine.memory.write(VMSA, bytes(state))
        guest.rmp.permissions[1, :guest.nested.frames] = ALL_RIGHTS
        guest.rmp.changed(0, guest.nested.frames)
        guest.rmp.adjust(guest.nested.private_backing(VMSA >> 12), 1, 0, True)
        hypervisor.install_vmsa(self.vcpu, 1, VMSA, vmsa.SNP_ACTIVE, start=False)
        self.vcpu.planes[1].set(layout.ACTIVITY, 0)
        hypervisor.channel(self.vcpu, 1).holds = ""

    def run(self, instructions: int) -> None:
        """Execute instructions."""
        end = self.machine.clock.icount + instructions
        while self.machine.clock.icount < end:
            self.machine.stopping, self.machine.reschedule = None, False
            self.vcpu.run(min(SLICE, end - self.machine.clock.icount))
            if self.machine.stopping is not None:
                raise GuestError(self.machine.stopping.message)
