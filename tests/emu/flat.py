"""A guest for the tests: vCPUs in 64-bit mode over identity-mapped RAM, code bytes laid down where they are to run."""
import struct

from emu import boot
from emu.irq.apicbus import ApicMessage
from emu.load.model import SegmentRegister
from emu.machine import Machine
from emu.waiting import RUNNING
from jit import layout

PML4, PDPT, PD, PT, GDT, IDT, TSS = (0x10000 + 0x1000 * n for n in range(7))
CODE, STACK, HANDLERS, DATA = 0x20000, 0x40000, 0x60000, 0x80000    # CODE and STACK of vCPU n: + n * 0x1000
STACK_0 = 0x5F000                       # of CPL 0, when entered from CPL 3
COUNTS = 0x90000                        # interrupts and exceptions so far, by vector: quadwords
MAPPED = 0x200000                       # [0, MAPPED) by 4 KiB pages, the rest is not there
IF = 1 << 9
REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8".split()
KERNEL_CODE, KERNEL_DATA = SegmentRegister(8, 0, 0xFFFFFFFF, 0xA09B), SegmentRegister(16, 0, 0xFFFFFFFF, 0xC093)
USER_CODE, USER_DATA = SegmentRegister(0x1B, 0, 0xFFFFFFFF, 0xA0FB), SegmentRegister(0x23, 0, 0xFFFFFFFF, 0xC0F3)


class Flat:
    """Handlers count their vector and return; an error code is dropped first."""

    def __init__(self, vcpus=1, cpu="max", planes="none", machine=None, **options):
        self.reports = []
        self.m = machine or Machine(memory=4 << 20, vcpus=vcpus, cpu=cpu, planes=planes, engine="interp",
                         report=self.reports.append, **options)
        write = self.m.memory.write
        for table, below in ((PML4, PDPT), (PDPT, PD), (PD, PT)):
            write(table, struct.pack("<Q", below | 7))
        write(PT, struct.pack("<512Q", *(n << 12 | 7 for n in range(MAPPED >> 12))))
        write(GDT, struct.pack("<5Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00AFFB000000FFFF,
                               0x00CFF3000000FFFF))
        for vector in range(256):
            at = HANDLERS + 32 * vector
            drop = b"\x48\x83\xc4\x08" if vector in (8, 10, 11, 12, 13, 14, 17) else b""    # add rsp, 8
            write(at, drop + b"\x48\xff\x04\x25" + struct.pack("<I", COUNTS + 8 * vector) + b"\x48\xcf")
            write(IDT + 16 * vector, struct.pack("<2Q", at & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (at >> 16) << 48, 0))
        write(TSS + 4, struct.pack("<Q", STACK_0))
        for vcpu in self.m.vcpus:
            self.long_mode(vcpu.plane)
            vcpu.plane.set(layout.RIP, CODE + 0x1000 * vcpu.index)
            vcpu.plane.set(layout.gpr(4), STACK + 0x1000 * (vcpu.index + 1))
            vcpu.lapic.write_register(0xF0, 0x1FF)
        self.vcpu = self.m.vcpus[0]

    def long_mode(self, plane, user=False):
        boot.reset(plane)
        for number in range(6):
            boot.set_segment(plane, number, USER_DATA if user else KERNEL_DATA)
        boot.set_segment(plane, layout.CS, USER_CODE if user else KERNEL_CODE)
        boot.set_segment(plane, layout.TR, SegmentRegister(0x28, TSS, 0x67, 0x8B))
        for offset, value in ((layout.CR0, 0x80000011), (layout.CR3, PML4), (layout.CR4, 0x620), (layout.EFER, 0x500),
                              (layout.GDTR_BASE, GDT), (layout.GDTR_LIMIT, 0x7F), (layout.IDTR_BASE, IDT),
                              (layout.IDTR_LIMIT, 0xFFF), (layout.CPL, 3 if user else 0), (layout.ACTIVITY, RUNNING)):
            plane.set(offset, value)
        plane.update_mode()

    # --- one vCPU, the first unless told otherwise ---------------------------------------------------------------

    @property
    def plane(self):
        return self.vcpu.plane

    def code(self, data, vcpu=0, rflags=2, **registers):
        """Lay down code for a vCPU and point it there."""
        data = bytes.fromhex(data) if isinstance(data, str) else data
        at = CODE + 0x1000 * vcpu
        plane = self.m.vcpus[vcpu].plane
        self.m.dma_write(at, data + b"\xf4")
        plane.set(layout.RIP, at)
        plane.rflags = rflags
        for name, value in registers.items():
            plane.set(layout.gpr(REGISTERS.index(name)), value)

    def run(self, count=100):
        """Run until everybody sleeps for good, or `count` instructions are over; gives the reason."""
        return self.m.run(max_insns=count).reason

    def rip(self, vcpu=0):
        """How far in its code a vCPU is."""
        return self.m.vcpus[vcpu].plane.get(layout.RIP) - CODE - 0x1000 * vcpu

    def activity(self, vcpu=0):
        return self.m.vcpus[vcpu].plane.get(layout.ACTIVITY)

    def interrupt(self, vector=0x50, vcpu=0):
        self.m.vcpus[vcpu].lapic.accept(ApicMessage(vector))

    def nmi(self, vcpu=0):
        self.m.vcpus[vcpu].plane.set(layout.NMI, 1)

    def count(self, vector):
        """How often the handler of a vector has run."""
        return int.from_bytes(self.m.memory.read(COUNTS + 8 * vector, 8), "little")

    def read(self, gpa, size=8):
        return int.from_bytes(self.m.memory.read(gpa, size), "little")

    def reg(self, name, vcpu=0):
        return self.m.vcpus[vcpu].plane.get(layout.gpr(REGISTERS.index(name)))
