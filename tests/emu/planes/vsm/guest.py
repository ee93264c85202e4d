"""A guest for the tests: VTLs in 64-bit mode over identity-mapped RAM, driven one instruction at a time."""
import struct

from emu.irq.lapic_msr import GeneralProtection
from emu.load.model import BootState, Image
from emu.machine import Machine
from emu.planes.context import apply
from emu.planes.vsm import context
from emu.planes.vsm.hypercall import R8, RAX, RCX, RDX
from jit import group_layout, layout

PML4, PDPT, PD, GDT, IDT, TSS, INPUT, OUTPUT, HANDLER = (0x10000 + 0x1000 * n for n in range(9))
CODE, STACK = 0x20000, 0x40000          # of VTL n: + n * 0x1000
ASSIST, HYPERCALL_PAGE = 0x50000, 0x60000
MESSAGES = 0x51000                      # VTL1's message page
SCONTROL, SIMP, SINT0, SINT0_VECTOR, CONFIG = 0x40000080, 0x40000083, 0x40000090, 0x30, 0xD0007
VMCALL, NOP = b"\x0f\x01\xc1", b"\x90"
OS_ID = 1 << 63 | 1
SELF, VP_SELF = (1 << 64) - 1, 0xFFFFFFFE


def segment(attributes, selector=8, base=0, limit=0xFFFFFFFF):
    return struct.pack("<QIHH", base, limit, selector, attributes)


def initial_context(vtl, **changes):
    """The 224 bytes of a legal 64-bit context; `changes` replaces fields by name."""
    data = changes.get("data", segment(0xC093, 0x10))
    fields = dict(rip=CODE + 0x1000 * vtl, rsp=STACK + 0x1000 * vtl + 0x1000, rflags=2, cs=segment(0xA09B), ds=data,
                  es=data, fs=data, gs=data, ss=segment(0xC093, 0x10), tr=segment(0x8B, 0x18, TSS, 0x67),
                  ldtr=segment(0x82, 0, 0, 0), idt=0xFFF, gdt=0x7F, efer=0x500, cr0=0x80000011, cr3=PML4, cr4=0x20,
                  pat=0x0007040600070406)
    fields |= {name: value for name, value in changes.items() if name != "data"}
    f = fields
    return (struct.pack("<3Q", f["rip"], f["rsp"], f["rflags"])
            + b"".join(f[name] for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr"))
            + struct.pack("<6xHQ6xHQ", f["idt"], IDT, f["gdt"], GDT)
            + struct.pack("<5Q", f["efer"], f["cr0"], f["cr3"], f["cr4"], f["pat"]))


class Guest:
    """A machine whose vCPUs run VTL0 in the initial context; instructions are laid down where they are to run."""

    def __init__(self, dialect=None, vcpus=1, max_vtl=1, engine="interp"):
        self.reports = []
        self.m = Machine(memory=4 << 20, vcpus=vcpus, planes="vsm", policy=dialect, engine=engine,
                         report=self.reports.append)
        self.partition = self.m.plane_model
        self.partition.max_vtl = max_vtl
        write = self.m.memory.write
        write(PML4, struct.pack("<Q", PDPT | 7))
        write(PDPT, struct.pack("<Q", PD | 7))
        write(PD, struct.pack("<2Q", 0x87, 0x200087))
        write(GDT, struct.pack("<3Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF))
        for vector in range(256):
            low = HANDLER & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (HANDLER >> 16) << 48
            write(IDT + 16 * vector, struct.pack("<2Q", low, 0))
        write(TSS + 4, struct.pack("<Q", 0x48000))
        write(HANDLER, NOP * 16)
        for vcpu in self.m.vcpus:
            apply(context.parse(initial_context(0)), vcpu.planes[0], self.m)
            vcpu.planes[0].set(layout.ACTIVITY, 0)
        self.use(0)

    def use(self, vcpu):
        """Later steps are of this vCPU."""
        self.vcpu = self.m.vcpus[vcpu]
        self.vp = self.partition.vps[vcpu]

    @property
    def plane(self):
        return self.vcpu.plane

    @property
    def vtl(self):
        return self.vcpu.group.active

    @property
    def runnable(self):
        return self.vcpu.group.get(group_layout.RUNNABLE)

    def reg(self, offset, value=None):
        if value is not None:
            self.plane.set(offset, value)
        return self.plane.get(offset)

    def step(self, code=VMCALL, count=1, **registers):
        """Run instructions at RIP in the VTL that runs."""
        gpa = self.reg(layout.RIP)
        self.m.dma_write(gpa, code)
        for name, value in registers.items():
            self.plane.set(layout.gpr("rax rcx rdx rbx rsp rbp rsi rdi r8".split().index(name)), value)
        return self.run(count)

    def run(self, count):
        """Run instructions wherever the vCPU is."""
        self.m.stopping, self.m.reschedule = None, False
        return self.vcpu.run(count)

    def call(self, code, data=b"", output=OUTPUT, count=0, start=0, extra=0, gpa=INPUT):
        """A hypercall with its parameters in memory: (status, repetitions completed)."""
        self.m.memory.write(gpa, data)
        self.step(rcx=code | count << 32 | start << 48 | extra, rdx=gpa, r8=output)
        result = self.reg(RAX)
        assert result >> 16 & 0xFFFF == 0 and result >> 44 == 0
        return result & 0xFFFF, result >> 32

    def get(self, *names, vtl=None, vp=VP_SELF, partition=SELF, start=0, input_vtl=None):
        """GetVpRegisters: (status, repetitions), values."""
        which = 0 if vtl is None else 0x10 | vtl
        header = struct.pack("<QIB3x", partition, vp, which if input_vtl is None else input_vtl)
        self.m.memory.write(OUTPUT, b"\xee" * 16 * len(names))
        answer = self.call(0x50, header + struct.pack(f"<{len(names)}I", *names), count=len(names), start=start)
        data = self.m.memory.read(OUTPUT, 16 * len(names))
        return answer, [int.from_bytes(data[i:i + 16], "little") for i in range(0, len(data), 16)]

    def set(self, *values, vtl=None, vp=VP_SELF, partition=SELF):
        """SetVpRegisters with (name, value) pairs: (status, repetitions)."""
        header = struct.pack("<QIB3x", partition, vp, 0 if vtl is None else 0x10 | vtl)
        elements = b"".join(struct.pack("<I12x", name) + value.to_bytes(16, "little") for name, value in values)
        return self.call(0x51, header + elements, count=len(values))

    def enable_partition(self, vtl=1, flags=0, partition=SELF, **more):
        return self.call(0x0D, struct.pack("<QBB6x", partition, vtl, flags), **more)[0]

    def enable_vp(self, vtl=1, vp=VP_SELF, partition=SELF, initial=None):
        data = struct.pack("<QIB3x", partition, vp, vtl)
        return self.call(0x0F, data + (initial or initial_context(vtl)))[0]

    def launch(self, vtl=2):
        """A VTL that is there before VTL0's first instruction, and runs."""
        made = context.parse(initial_context(vtl))
        registers = dict(rip=made.rip, rsp=made.rsp, cr0=made.cr0, cr3=made.cr3, cr4=made.cr4, efer=made.efer)
        boot = BootState(registers, dict(zip("cs ds es fs gs ss tr ldtr".split(), made.segments, strict=True)),
                         (GDT, 0x7F), (IDT, 0xFFF))
        self.m.dma_write(made.rip, NOP)
        self.partition.launch(Image("flat", "", (), boot), vtl)
        self.run(1)
        assert self.vtl == vtl

    def vtl_call(self, **registers):
        self.step(**({"rax": 0, "rcx": 0x11} | registers))

    def vtl_return(self, fast=True, **registers):
        self.step(**({"rax": int(fast), "rcx": 0x12} | registers))

    def enter_vtl1(self):
        """VTL1 enabled on this vCPU and entered once, with its assist page."""
        assert self.enable_partition() == 0 and self.enable_vp() == 0
        self.vtl_call()
        assert self.vtl == 1
        self.wrmsr(0x40000073, ASSIST | 1)

    def secure(self, mask=0xF):
        """As VTL1 with SynIC (SINT0 is vector 0x30) and protections on, its masks allowing everything."""
        self.enter_vtl1()
        self.wrmsr(SIMP, MESSAGES | 1)
        self.wrmsr(SCONTROL, 1)
        self.wrmsr(SINT0, SINT0_VECTOR)
        assert self.set((CONFIG, mask << 1 | 0x21)) == (0, 1)

    def protect(self, flags, *pages, input_vtl=0):
        """ModifyVtlProtectionMask of pages given by address: (status, repetitions)."""
        header = struct.pack("<QIB3x", SELF, flags, input_vtl)
        return self.call(0x0C, header + b"".join(struct.pack("<Q", page >> 12) for page in pages), count=len(pages))

    def message(self, page=None, sint=0):
        """The message in a slot: (type, payload, origin)."""
        data = self.m.memory.read(MESSAGES + 256 * sint if page is None else page, 256)
        kind, size, _, _, origin = struct.unpack_from("<IBBHQ", data)
        return kind, data[16:16 + size], origin

    def handled(self):
        """VTL1 has read the message and ended the interrupt."""
        self.m.memory.write(MESSAGES, bytes(256))
        lapic = self.vcpu.lapics[1]
        lapic.irr &= ~(1 << SINT0_VECTOR)
        lapic.isr &= ~(1 << SINT0_VECTOR)
        self.vcpu.interrupt_changed(1)

    def attempt(self, code, **registers):
        """VTL0 executes an instruction: the VTL that runs afterwards. A higher one would execute a NOP."""
        for plane in self.vcpu.planes[1:]:
            self.m.dma_write(plane.get(layout.RIP), NOP)
        self.step(code, **registers)
        return self.vtl

    def rdmsr(self, index):
        return self.vcpu.msrs.read(index)

    def wrmsr(self, index, value):
        self.vcpu.msrs.write(index, value)

    def faults(self, action, *args):
        """Whether an MSR access is #GP(0)."""
        try:
            action(*args)
        except GeneralProtection:
            return True
        return False

    def exception(self):
        """(vector's handler was entered, RIP that it returns to, the step having run the handler's first NOP)."""
        frame = self.m.memory.read(self.reg(layout.gpr(4)), 8)
        return self.reg(layout.RIP) == HANDLER + 1, int.from_bytes(frame, "little")


__all__ = ["RAX", "RCX", "RDX", "R8", "Guest", "initial_context"]
