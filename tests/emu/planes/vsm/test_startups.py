"""How published kernels for higher VTLs start, hypercall by hypercall: what they compare, what they take for granted.

The orders are those of LVBS's loader and LiteBox (VTL1), and of Linux in VTL mode (its processors)."""
import struct

from emu.waiting import WAIT_FOR_SIPI
from jit import layout
from tests.emu.planes.vsm.guest import (
    ASSIST,
    CODE,
    HYPERCALL_PAGE,
    MESSAGES,
    NOP,
    SELF,
    Guest,
    initial_context,
    segment,
)

PARTITION_STATUS, VP_STATUS, CODE_OFFSETS, CONFIG, SECURE_VTL0 = 0xD0004, 0xD0003, 0xD0002, 0xD0007, 0xD0010
CR_CONTROL, CR0_MASK, CR4_MASK = 0xE0000, 0xE0001, 0xE0002
OS_ID, HYPERCALL, ASSIST_PAGE, SCONTROL, SIMP, SINT0 = (
    0x40000000, 0x40000001, 0x40000073, 0x40000080, 0x40000083, 0x40000090)
MBEC, START, ALREADY_ENABLED = 1, 0x99, 0x86
# What LiteBox saves before it locks: RIP, CR0, CR4, EFER, LSTAR, STAR, CSTAR, SFMASK, IDTR, GDTR, LDTR.
LOCKED = (0x20010, 0x40000, 0x40003, 0x80001, 0x80009, 0x80008, 0x8000A, 0x8000B, 0x70000, 0x70001, 0x60006)


def sparse_context(vtl):
    """Only CS and SS filled in, without limits; the others are zero."""
    nothing = bytes(16)
    return initial_context(vtl, data=nothing, cs=segment(0x309B, limit=0), ss=segment(0x1093, 0x10, limit=0),
                           ldtr=nothing)


def write_and_compare(g, index, value):
    g.wrmsr(index, value)
    assert g.rdmsr(index) == value


def loaded():
    """VTL0 has enabled VTL1 with MBEC and calls it for the first time."""
    g = Guest(vcpus=2)
    assert g.get(PARTITION_STATUS)[1] == [0x10001] and g.enable_partition(flags=MBEC) == 0
    (status,) = g.get(PARTITION_STATUS)[1]
    assert status & 0xFFFF == 3 and status >> 16 & 0xF == 1 and status >> 20 & 0xFFFF
    assert g.get(VP_STATUS)[1] == [0x10000] and g.enable_vp(initial=sparse_context(1)) == 0
    assert g.get(VP_STATUS)[1] == [0x30000]
    g.vtl_call()
    assert g.vtl == 1 and g.reg(layout.RIP) == CODE + 0x1000
    return g


def set_up(g):
    """VTL1's first run."""
    write_and_compare(g, ASSIST_PAGE, ASSIST | 1)
    write_and_compare(g, OS_ID, 1 << 63 | 0x1234)
    write_and_compare(g, HYPERCALL, HYPERCALL_PAGE | 1)
    write_and_compare(g, SIMP, MESSAGES | 1)
    write_and_compare(g, SINT0, 1 << 17 | 0xF3)
    write_and_compare(g, SCONTROL, 1)
    assert g.set((CONFIG, 0x1F)) == (0, 1) and g.get(CONFIG)[1] == [0x1F]
    (offsets,) = g.get(CODE_OFFSETS)[1]
    assert 0 < offsets & 0xFFF < 0x1000 and 0 < offsets >> 12 & 0xFFF < 0x1000 and not offsets >> 24
    assert g.set((SECURE_VTL0, 3)) == (0, 1)
    pages = range(0x300000, 0x400000, 0x1000)
    for first in range(0, len(pages), 128):
        assert g.protect(0, *pages[first:first + 128])[0] == 0


def test_a_secure_kernel_in_vtl1_starts_and_serves_calls():
    g = loaded()
    set_up(g)
    g.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", 0x77, 0x88))
    g.vtl_return(fast=False)
    assert g.vtl == 0 and g.vcpu.runs() and (g.reg(layout.gpr(0)), g.reg(layout.gpr(1))) == (0x77, 0x88)
    g.vtl_call(rdi=0x1FFE0, rsi=5)
    assert g.vtl == 1 and (g.reg(layout.gpr(7)), g.reg(layout.gpr(6))) == (0x1FFE0, 5)
    assert g.m.memory.read(ASSIST + 8, 4) == struct.pack("<I", 1)


def test_it_enables_itself_on_the_others_which_enter_by_calls_of_their_own():
    g = loaded()
    set_up(g)
    assert g.enable_vp(vp=1, initial=sparse_context(1)) == 0
    assert g.enable_vp(vp=1, initial=sparse_context(1)) == ALREADY_ENABLED
    g.use(1)
    assert g.vtl == 0
    g.vcpu.plane.set(layout.RIP, CODE + 0x7000)
    g.vtl_call()
    assert g.vtl == 1 and g.get(VP_STATUS)[1] == [0x30001]


def test_it_locks_registers_after_reading_them():
    g = loaded()
    set_up(g)
    (status, done), values = g.get(*LOCKED, vtl=0)
    assert (status, done) == (0, 11) and values[1] == g.m.vcpus[0].planes[0].get(layout.CR0)
    wanted = sum(1 << bit for bit in (0, 1, 2, 4, 6, 8, 10, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22))
    for name, value in ((CR_CONTROL, wanted), (CR4_MASK, 0xFFFFFFFF & ~0x80), (CR0_MASK, 0x80010021)):
        assert g.set((name, value)) == (0, 1)
    g.vtl_return()
    g.step(NOP)
    assert g.attempt(bytes.fromhex("0f20e0480dffff000f22e0")[:3]) == 0             # mov rax, cr4
    cr4 = g.reg(layout.gpr(0))
    assert g.attempt(bytes.fromhex("0f22e0"), rax=cr4 | 1 << 9) == 1                # mov cr4, rax: OSFXSR


def test_a_kernel_in_vtl_mode_starts_its_processors():
    """EnableVpVtl, whose VTL_ALREADY_ENABLED it takes for success, then StartVirtualProcessor with the same block."""
    g = Guest("ms-vtl2", vcpus=2, max_vtl=2)
    g.m.vcpus[1].planes[0].set(layout.ACTIVITY, WAIT_FOR_SIPI)
    assert g.enable_partition(2) == 0 and g.enable_vp(2) == 0
    g.vtl_call()
    assert g.vtl == 2
    assert g.call(0x9A, struct.pack("<QB7xI", SELF, 0, 1), count=1) == (0, 1)
    block = struct.pack("<QIB3x", SELF, 1, 2) + initial_context(2, rip=CODE + 0x8000)
    assert g.call(0x0F, block)[0] == 0 and g.call(0x0F, block)[0] == ALREADY_ENABLED and g.call(START, block)[0] == 0
    g.m.dma_write(CODE + 0x8000, NOP)
    g.use(1)
    g.run(1)
    assert g.vtl == 2 and g.reg(layout.RIP) == CODE + 0x8001
    g.vtl_return()
    assert g.vtl == 0 and g.reg(layout.ACTIVITY) == WAIT_FOR_SIPI


def test_amazons_test_leaves_what_it_does_not_fill_in_as_its_stack_was():
    """Reserved fields of all its parameter blocks; the kut dialect does not look at them."""
    junk = b"\xa5\x5a\xa5"
    g = Guest("kut", vcpus=2)
    assert g.call(0x0D, struct.pack("<QBB", SELF, 1, 0) + junk + junk)[0] == 0
    block = struct.pack("<QIB", SELF, 0, 1) + junk + initial_context(1)
    assert g.call(0x0F, block)[0] == 0
    g.vtl_call()
    head = struct.pack("<QIB", SELF, 0xFFFFFFFE, 0x11) + junk
    assert g.call(0x50, head + struct.pack("<I", VP_STATUS), count=1) == (0, 1)
    assert g.call(0x51, head + struct.pack("<I", CONFIG) + junk * 4 + struct.pack("<QQ", 0x37, 0), count=1) == (0, 1)
    assert g.call(0x0C, struct.pack("<QIB", SELF, 9, 0x10) + junk + struct.pack("<Q", 0x300), count=1) == (0, 1)
    assert g.call(0x0B, struct.pack("<IB", 0x40, 0x10) + junk + struct.pack("<Q", 1))[0] == 0
    assert g.call(0x02, struct.pack("<QI", 0, 1) + junk + b"\1" + struct.pack("<Q", 1))[0] == 0
    assert g.call(0x52, struct.pack("<QI", SELF, 0) + junk + b"\1" + struct.pack("<QQ", 0x10 << 56, 0x20))[0] == 0
    m = Guest("ms")
    assert m.call(0x0D, struct.pack("<QBB", SELF, 1, 0) + junk + junk)[0] == 0x5
    assert m.call(0x02, struct.pack("<QI", 0, 1) + junk + b"\1" + struct.pack("<Q", 1))[0] == 0x5
