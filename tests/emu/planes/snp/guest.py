"""A guest for the tests: VMPLs in 64-bit mode over identity-mapped private memory, driven one instruction at a time."""
import struct

from emu import boot
from emu.load.model import SegmentRegister
from emu.machine import Machine
from emu.planes.snp import ghcb, vmsa
from emu.planes.snp.guest import SnpGuest
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.options import Options
from jit import layout

C = 1 << 51
PML4, PDPT, PD, PT, GDT, IDT, TSS, HANDLERS = (0x10000 + 0x1000 * n for n in range(8))
CODE, STACK, GHCB = 0x20000, 0x40000, 0x50000       # of VMPL n: + n * 0x1000
VMSA = 0x60000                                      # of VMPL n of vCPU v: + (4 * v + n) * 0x1000, and 0x1000 for n = 0
PAGE = 0x100000                                     # pages for tests
WINDOW = 0x200000                                   # the 2 MiB there are mapped from PT, as tests want
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 = (layout.gpr(n) for n in range(9))
NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8".split()
NOP, CPUID, HLT, VMGEXIT = b"\x90", b"\x0f\xa2", b"\xf4", b"\xf3\x0f\x01\xd9"
LOAD, STORE, CALL = b"\x48\x8b\x00", b"\x48\x89\x18", b"\xff\xd0"       # mov rax, [rax]; mov [rax], rbx; call rax
PVALIDATE, RMPADJUST, RMPQUERY = b"\xf2\x0f\x01\xff", b"\xf3\x0f\x01\xfe", b"\xf3\x0f\x01\xfd"
RMPUPDATE, PSMASH, INVLPGB, TLBSYNC = b"\xf2\x0f\x01\xfe", b"\xf3\x0f\x01\xff", b"\x0f\x01\xfe", b"\x0f\x01\xff"
RDMSR, WRMSR, OUT_AL, IN_AL = b"\x0f\x32", b"\x0f\x30", b"\xee", b"\xec"
LARGE = 0x200000
VC, GP, PF, UD, HV = 29, 13, 14, 6, 28
GHCB_MSR = 0xC0010130


class Recorder(Hypervisor):
    """A hypervisor that takes note of faults and does nothing about them."""

    direct = True
    recording = True

    def __init__(self, guest):
        super().__init__(guest)
        self.faults = []
        self.failures = []

    def nested_fault(self, vcpu, fault):
        self.faults.append(fault)
        if self.recording:
            self.machine.reschedule = True
        else:
            super().nested_fault(vcpu, fault)

    def vmrun_failed(self, vcpu, number, code, reason):
        self.failures.append((number, code, reason))
        self.machine.reschedule = True


class Guest:
    """A machine whose vCPU 0 runs VMPL0. Instructions are laid down where they are to run; a fault ends in a handler
    that is a NOP, whose address tells the vector."""

    def __init__(self, engine="interp", hypervisor=Recorder, vcpus=1, features=vmsa.SNP_ACTIVE,
                 memory=8 << 20, **options):
        self.reports = []
        self.m = Machine(memory=memory, vcpus=vcpus, planes="snp", engine=engine, report=self.reports.append,
                         hypervisor=hypervisor, snp=Options(**options) if options else None)
        self.snp: SnpGuest = self.m.plane_model
        self.hv = self.snp.hypervisor
        self.hv.launch_features = features
        self.rmp, self.nested = self.snp.rmp, self.snp.nested
        self.vcpu = self.m.vcpus[0]
        self._tables(memory)
        for vcpu in self.m.vcpus:
            self.start_state(vcpu.planes[0], 0)
        self.vcpu.plane.set(layout.ACTIVITY, 0)
        for vcpu in self.m.vcpus[1:]:
            vcpu.plane.set(layout.ACTIVITY, 2)
        self.snp.loaded()
        self.run(0)

    def _tables(self, memory):
        write = self.m.memory.write
        write(PML4, struct.pack("<Q", PDPT | 7 | C))
        write(PDPT, struct.pack("<Q", PD | 7 | C))
        write(PD, b"".join(struct.pack("<Q", at | 0x87 | C) for at in range(0, memory, LARGE)))
        write(GDT, struct.pack("<5Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00AFFB000000FFFF,
                               0x00CFF3000000FFFF))
        for vector in range(256):
            at = HANDLERS + 8 * vector
            write(IDT + 16 * vector, struct.pack("<2Q", at & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (at >> 16) << 48, 0))
        write(TSS + 4, struct.pack("<Q", 0x48000))
        write(HANDLERS, NOP * 0x800)

    def start_state(self, plane, vmpl, rip=None):
        """Put a plane into 64-bit mode at its place."""
        boot.reset(plane)
        plane.set(layout.RIP, CODE + 0x1000 * vmpl if rip is None else rip)
        plane.set(RSP, STACK + 0x1000 * vmpl + 0x1000)
        for number in (layout.ES, layout.SS, layout.DS, layout.FS, layout.GS):
            boot.set_segment(plane, number, SegmentRegister(0x10, 0, 0xFFFFFFFF, 0xC093))
        boot.set_segment(plane, layout.CS, SegmentRegister(8, 0, 0xFFFFFFFF, 0xA09B))
        boot.set_segment(plane, layout.TR, SegmentRegister(0x28, TSS, 0x67, 0x8B))
        for field, value in ((layout.CR0, 0x80010011), (layout.CR4, 0x620), (layout.EFER, 0x1D00),
                             (layout.CR3, PML4 | C), (layout.GDTR_BASE, GDT), (layout.GDTR_LIMIT, 0x27),
                             (layout.IDTR_BASE, IDT),
                             (layout.IDTR_LIMIT, 0xFFF), (layout.CPL, 0)):
            plane.set(field, value)
        plane.update_mode()
        plane.flush()

    # --- running -----------------------------------------------------------------------------------------------------

    @property
    def plane(self):
        return self.vcpu.plane

    @property
    def vmpl(self):
        return self.vcpu.group.active

    def reg(self, offset, value=None):
        if value is not None:
            self.plane.set(offset, value)
        return self.plane.get(offset)

    def put(self, code, at=None):
        """Lay instructions down in private memory, by default at RIP."""
        gpa = self.reg(layout.RIP) if at is None else at
        self.m.dma_write(int(self.nested.page[gpa >> 12]) * 4096 + gpa % 4096, code)

    def run(self, count, vcpu=None):
        """Run instructions of the vCPU, as a slice of their own."""
        self.m.stopping, self.m.reschedule = None, False
        return (vcpu or self.vcpu).run(count)

    def enter(self):
        """Between slices nothing runs: VMRUN, so that registers set now count."""
        self.snp.slice_begins(self.vcpu)

    def step(self, code, count=1, **registers):
        """Run instructions at RIP."""
        self.enter()
        self.put(code)
        for name, value in registers.items():
            self.plane.set(layout.gpr(NAMES.index(name)), value)
        return self.run(count)

    @property
    def exception(self):
        """The vector whose handler is about to run, or has run its NOP."""
        offset = self.reg(layout.RIP) - HANDLERS
        return offset // 8 if 0 <= offset < 0x800 else None

    def frame(self, words=6):
        """What the exception pushed."""
        return struct.unpack(f"<{words}Q", self.read(self.reg(RSP), 8 * words))

    def caught(self):
        """(vector, error code, RIP) of an exception that was just taken."""
        error, rip = self.frame(2)
        return self.exception, error, rip

    def resume(self, rip, rsp=None):
        """Go on somewhere, as a handler would."""
        self.enter()
        self.plane.set(layout.RIP, rip)
        self.plane.set(RSP, STACK + 0x1000 * self.vmpl + 0x1000 if rsp is None else rsp)

    # --- memory ------------------------------------------------------------------------------------------------------

    def read(self, gpa, size):
        """Private memory, as the guest sees it."""
        return self.m.memory.read(int(self.nested.page[gpa >> 12]) * 4096 + gpa % 4096, size)

    def window(self, *entries):
        """Map 4 KiB pages from WINDOW on by these page-table entries."""
        self.m.memory.write(PT, b"".join(struct.pack("<Q", entry) for entry in entries).ljust(4096, b"\0"))
        self.m.memory.write(PD + 8, struct.pack("<Q", PT | 7 | C))
        self.snp.flush()

    def give(self, gpa, **entry):
        """The host assigns a page again: it is not validated."""
        from emu.planes.snp.rmp import Entry
        page = self.nested.private_backing(gpa >> 12)
        fields = dict(assigned=True, asid=self.snp.asid, gfn=gpa >> 12) | entry
        return self.rmp.update(page, Entry(**fields))

    def entry(self, gpa):
        """(validated, masks) of the page that a frame is mapped to."""
        page = int(self.nested.page[gpa >> 12])
        return bool(self.rmp.validated[page]), tuple(int(mask) for mask in self.rmp.permissions[:, page])

    def validate(self, gva, size=0, valid=1):
        """PVALIDATE: (EAX, CF, ZF)."""
        self.step(PVALIDATE, rax=gva, rcx=size, rdx=valid)
        return self.reg(RAX), self.plane.rflags & 1, self.plane.rflags >> 6 & 1

    def adjust(self, gva, vmpl, mask, size=0, vmsa=0):
        """RMPADJUST: EAX."""
        self.step(RMPADJUST, rax=gva, rcx=size, rdx=vmpl | mask << 8 | vmsa << 16)
        return self.reg(RAX)

    # --- GHCB --------------------------------------------------------------------------------------------------------

    def share(self, gpa):
        """Make a page shared, as a page state change does."""
        assert self.hv.change_state(gpa >> 12, 1, 2)

    def ghcb(self, vmpl=None):
        """A registered GHCB for a VMPL: its address."""
        gpa = GHCB + 0x1000 * (self.vmpl if vmpl is None else vmpl)
        if self.hv.shared_page(gpa) is None:
            self.share(gpa)
        self.enter()
        self.hv.register_ghcb(self.vcpu, gpa)
        return gpa

    def request(self, code, info1=0, info2=0, registered=True, **fields):
        """VMGEXIT with a GHCB: the answer."""
        gpa = self.ghcb() if registered else GHCB
        page = ghcb.Ghcb(bytearray(self.hv.read_shared(gpa, 4096)))
        page.valid = 0
        for name, value in dict(sw_exitcode=code, sw_exitinfo1=info1, sw_exitinfo2=info2, **fields).items():
            if value is not None:
                page[name] = value
        self.hv.write_shared(gpa, bytes(page.page))
        self.plane.set(layout.GHCB, gpa)
        self.step(VMGEXIT)
        return ghcb.Ghcb(bytearray(self.hv.read_shared(gpa, 4096)))

    def msr_request(self, value):
        """VMGEXIT with the MSR protocol: the MSR afterwards."""
        self.enter()
        plane = self.plane
        plane.set(layout.GHCB, value)
        self.step(VMGEXIT)
        return plane.get(layout.GHCB)

    # --- VMPLs -------------------------------------------------------------------------------------------------------

    def vmsa_at(self, vmpl, vcpu=0):
        return VMSA + (4 * vcpu + vmpl + 1) * 0x1000

    def make_vmsa(self, vmpl, /, vcpu=0, **changes):
        """Contents of a VMSA for a VMPL in 64-bit mode, where it starts like VMPL0 did."""
        state = vmsa.Vmsa(bytearray(self.snp.world.view(self.hv.vmsa_page(0)).page))
        fields = dict(vmpl=vmpl, rip=CODE + 0x1000 * vmpl, rsp=STACK + 0x1000 * vmpl + 0x1000,
                      sev_features=vmsa.SNP_ACTIVE, efer=0x1D00, cr3=PML4 | C, rflags=2, vintr_ctrl=0)
        for name, value in (fields | changes).items():
            state[name] = value
        gpa = self.vmsa_at(vmpl, vcpu)
        self.m.memory.write(gpa, bytes(state))
        return gpa

    def add_vmpl(self, vmpl, bless=True, **changes):
        """Prepare a VMPL of vCPU 0 as an SVSM would, with access to all memory; VMPL0 goes on."""
        gpa = self.make_vmsa(vmpl, **changes)
        self.rmp.permissions[vmpl, :self.nested.frames] = 0x1F
        self.rmp.changed(0, self.nested.frames)
        if bless:
            self.rmp.adjust(self.nested.private_backing(gpa >> 12), vmpl, 0, True)
        self.hv.install_vmsa(self.vcpu, vmpl, gpa, changes.get("sev_features", vmsa.SNP_ACTIVE), start=False)
        self.vcpu.planes[vmpl].set(layout.ACTIVITY, 0)
        self.hv.channel(self.vcpu, vmpl).holds = ""
        return gpa

    def vmsa(self, vmpl):
        """The VMSA of a VMPL in place."""
        return self.snp.world.view(self.snp.vps[0].contexts[vmpl].page)

    def switch(self, vmpl):
        """Ask for another VMPL by the MSR protocol."""
        return self.msr_request(0x016 | vmpl << 32)
