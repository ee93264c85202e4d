"""Several virtual processors: IPIs, flushes and TLB locks, starting; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import layout
from tests.emu.planes.vsm.guest import (
    CODE,
    CONFIG,
    HANDLER,
    NOP,
    RAX,
    SELF,
    STACK,
    VMCALL,
    VP_SELF,
    Guest,
    initial_context,
)

SECURE_VTL0, WAIT_FOR_TLB_LOCK, RIP = 0xD0010, 0xD0020, 0x20010
LOCKED = 2
JUMP_SELF = b"\xeb\xfe"


def pair(dialect=None, vtl1_on=(0, 1)):
    """Two processors with VTL1; VP0 runs VTL1, VP1 VTL0 at an address of its own."""
    g = Guest(dialect, vcpus=2)
    g.enter_vtl1()
    if 1 in vtl1_on:
        assert g.enable_vp(vp=1) == 0
    g.m.vcpus[1].planes[0].set(layout.RIP, CODE + 0x4000)
    for vcpu in g.m.vcpus:
        for lapic in vcpu.lapics:
            lapic.svr = 0x1FF
    return g


def irr(g, vp, vtl):
    return g.m.vcpus[vp].lapics[vtl].irr


def ipi(g, vector, mask, input_vtl=0, reserved=b"\0\0\0"):
    return g.call(0x0B, struct.pack("<IB", vector, input_vtl) + reserved + struct.pack("<Q", mask))[0]


def ipi_ex(g, vector, input_vtl, form, *banks, valid=None):
    valid = (1 << len(banks)) - 1 if valid is None else valid
    data = struct.pack("<IB3xQQ", vector, input_vtl, form, valid) + struct.pack(f"<{len(banks)}Q", *banks)
    return g.call(0x15, data, extra=len(banks) << 17)[0]


def test_s66_vtl1_interrupts_vtl0(dialect="ms"):
    g = pair()
    assert ipi(g, 0x40, 3, 0x10) == 0 and (irr(g, 0, 0), irr(g, 1, 0)) == (1 << 0x40, 1 << 0x40)
    assert ipi_ex(g, 0x41, 0x10, 0, 2) == 0 and irr(g, 1, 0) >> 0x41 & 1 and not irr(g, 0, 0) >> 0x41 & 1
    assert ipi_ex(g, 0x42, 0x10, 1) == 0 and irr(g, 0, 0) >> 0x42 & irr(g, 1, 0) >> 0x42 & 1
    assert irr(g, 0, 1) == irr(g, 1, 1) == 0


def test_an_ipi_without_a_vtl_stays_in_the_callers():
    g = pair()
    assert ipi(g, 0x40, 0xFFFFFFFE) == 0 and irr(g, 1, 1) == 1 << 0x40 and irr(g, 1, 0) == 0


@pytest.mark.parametrize("dialect, status", [("ms", 0x6), ("kut", 0)])
def test_s67_vtl0_interrupts_vtl1(dialect, status):
    g = pair(dialect)
    g.vtl_return()
    assert ipi(g, 0x40, 2, 0x11) == status
    assert irr(g, 1, 1) == (1 << 0x40 if status == 0 else 0)
    if status == 0:
        g.use(1)
        assert g.attempt(NOP) == 1


def test_s67_what_is_wrong_with_an_ipi():
    g = pair()
    assert ipi(g, 5, 3) == 0x5 and ipi(g, 0x100, 3) == 0x5
    assert ipi(g, 0x40, 3, 0x20) == 0x5 and ipi(g, 0x40, 3, reserved=b"\0\1\0") == 0x5
    assert ipi_ex(g, 0x40, 0, 2, 1) == 0x5
    assert irr(g, 0, 1) == irr(g, 1, 1) == 0


def assert_interrupt(g, vector, vtl, kind=0, destination=1, extra=0):
    return g.call(0x94, struct.pack("<QQQIB3x", SELF, kind | extra, destination, vector, vtl))[0]


def test_s79_a_higher_vtl_asserts_interrupts_and_nmis_of_lower_ones():
    g = pair()
    assert assert_interrupt(g, 0x40, 0) == 0 and irr(g, 1, 0) == 1 << 0x40 and irr(g, 0, 0) == 0
    assert assert_interrupt(g, 2, 0, kind=4, destination=0) == 0
    assert g.m.vcpus[0].planes[0].get(layout.NMI) == 1
    assert assert_interrupt(g, 0x40, 1) == 0x6
    assert assert_interrupt(g, 5, 0) == 0x5 and assert_interrupt(g, 0x40, 0, kind=1) == 0x5
    g.vtl_return()
    assert assert_interrupt(g, 0x40, 0) == 0x6


# --- flushes ---


def flush(g, mask, flags=0):
    return g.call(0x02, struct.pack("<3Q", 0, flags, mask))[0]


def test_flushes_drop_translations_and_check_their_operands():
    g = pair()
    g.vtl_return()
    assert flush(g, 3) == 0 and flush(g, 0, flags=1) == 0 and flush(g, 1, flags=2) == 0
    assert flush(g, 0) == 0x5 and flush(g, 1, flags=1 << 5) == 0x5 and flush(g, 1, flags=0x110) == 0x6
    pages = struct.pack("<2Q", 0x200000, 0x201005)
    assert g.call(0x03, struct.pack("<3Q", 0, 0, 3) + pages, count=2) == (0, 2)
    sparse = struct.pack("<5Q", 0, 0, 0, 1, 3)
    assert g.call(0x13, sparse, extra=1 << 17)[0] == 0 and g.call(0x13, sparse)[0] == 0
    assert g.call(0x14, sparse + pages, count=2, extra=3 << 17) == (0, 2)
    assert g.call(0x13, struct.pack("<4Q", 0, 0, 2, 0))[0] == 0x5


def test_a_flush_reaches_other_processors():
    g = pair()
    g.use(1)
    g.step(b"\x48\x8b\x00", rax=0x200000)
    g.m.memory.write(0x12008, struct.pack("<Q", 0x87))          # the page directory entry now maps the first 2 MiB
    g.m.memory.write(0x0, b"\x77")
    g.step(b"\x48\x8b\x00", rax=0x200000)
    assert g.reg(RAX) == 0
    g.use(0)
    g.vtl_return()
    assert flush(g, 2) == 0
    g.use(1)
    g.step(b"\x48\x8b\x00", rax=0x200000)
    assert g.reg(RAX) == 0x77


@pytest.mark.parametrize("flags, mask", [(0, 2), (1, 0)])
def test_s98_a_locked_flush_ends_when_the_locks_do(flags, mask):
    g = pair("kut")
    for turn in range(64):
        for vp in (0, 1):
            assert g.set((SECURE_VTL0, LOCKED), vp=vp) == (0, 1)
        g.use(1)
        g.m.memory.write(0x19000, struct.pack("<3Q", 0, flags, mask))
        rip = g.reg(layout.RIP)
        g.step(VMCALL + NOP, count=20, rcx=0x02, rdx=0x19000)
        assert g.reg(layout.RIP) == rip and not g.vcpu.runs()
        g.use(0)
        for vp in (0, 1):
            assert g.set((SECURE_VTL0, 0), vp=vp) == (0, 1)
        g.use(1)
        assert g.vcpu.runs(), turn
        g.run(1)
        assert g.reg(layout.RIP) == rip + 3 and g.reg(RAX) == 0
        g.use(0)


def test_s99_a_return_ends_the_locks_of_its_vtl():
    g = pair()
    assert g.set((SECURE_VTL0, LOCKED)) == (0, 1)
    g.use(1)
    g.m.memory.write(0x19000, struct.pack("<3Q", 0, 0, 2))
    g.step(rcx=0x02, rdx=0x19000)
    assert not g.vcpu.runs()
    g.use(0)
    g.vtl_return()
    assert g.vtl == 0 and g.vp.vtls[1].secure == {0: 0}
    g.use(1)
    assert g.vcpu.runs()
    g.run(1)
    assert g.reg(RAX) == 0


def test_s100_vtl1_runs_while_vtl0_waits_for_a_lock():
    g = pair()
    assert g.set((SECURE_VTL0, LOCKED)) == (0, 1)
    g.use(1)
    g.m.memory.write(0x19000, struct.pack("<3Q", 0, 0, 2))
    rip = g.reg(layout.RIP)
    g.step(rcx=0x02, rdx=0x19000)
    g.use(0)
    assert ipi(g, 0x40, 2) == 0
    g.use(1)
    assert g.vcpu.runs()
    g.m.dma_write(g.vcpu.planes[1].get(layout.RIP), NOP)
    g.run(1)
    assert g.vtl == 1
    g.vcpu.lapics[1].irr = 0
    g.vcpu.interrupt_changed(1)
    g.vtl_return()
    assert g.vtl == 0 and g.reg(layout.RIP) == rip and not g.vcpu.runs()


def test_waiting_for_the_locks_of_others_keeps_vtl0_from_running():
    g = pair()
    assert g.set((SECURE_VTL0, LOCKED), vp=1) == (0, 1)
    assert g.set((WAIT_FOR_TLB_LOCK, 1)) == (0, 1) and g.set((WAIT_FOR_TLB_LOCK, 2)) == (0x50, 0)
    g.vtl_return()
    assert g.vtl == 0 and not g.vcpu.runs()
    g.use(1)
    g.vtl_call()
    g.vtl_return()
    g.use(0)
    assert g.vcpu.runs()


def test_an_event_does_not_end_a_wait_for_locks():
    g = pair()
    assert g.set((SECURE_VTL0, LOCKED), vp=1) == (0, 1) and g.set((WAIT_FOR_TLB_LOCK, 1)) == (0, 1)
    assert g.set((0x10004, 0xD0101), vtl=0) == (0, 1)
    g.vtl_return()
    assert not g.vcpu.runs()


# --- starting ---


def start(g, vp, vtl=0, initial=None, partition=SELF):
    return g.call(0x99, struct.pack("<QIB3x", partition, vp, vtl) + (initial or initial_context(vtl)))[0]


def waiting(g, vp=1):
    g.m.vcpus[vp].planes[0].set(layout.ACTIVITY, WAIT_FOR_SIPI)


def test_s77_starting_runs_the_highest_vtl_first():
    g = pair()
    waiting(g)
    assert g.set((CONFIG, 0x7E)) == (0, 1)                      # DenyLowerVtlStartup
    g.vtl_return()
    assert start(g, 1) == 0x6
    g.vtl_call()
    assert start(g, 1, initial=initial_context(0, rip=CODE + 0x5000, rsp=STACK + 0x800)) == 0
    g.use(1)
    assert g.vcpu.runs() and g.m.vcpus[1].planes[0].get(layout.ACTIVITY) == RUNNING
    g.m.dma_write(CODE + 0x1000, NOP)
    g.run(1)
    assert g.vtl == 1 and g.reg(layout.RIP) == CODE + 0x1001
    assert [(s["from"], s["to"], s["cause"]) for s in g.m.switches if s["vcpu"] == 1] == [(0, 1, "start")]
    g.vtl_return()
    assert g.vtl == 0 and g.reg(layout.RIP) == CODE + 0x5000 and g.reg(layout.gpr(4)) == STACK + 0x800


def test_starting_without_a_higher_vtl_runs_vtl0():
    g = pair(vtl1_on=(0,))
    waiting(g)
    g.vtl_return()
    assert start(g, 1, initial=initial_context(0, rip=CODE + 0x5000)) == 0
    g.use(1)
    g.step(NOP)
    assert g.reg(layout.RIP) == CODE + 0x5001


def test_starting_a_vtl_leaves_those_below_waiting():
    """As a kernel in VTL1 brings its processors up before VTL0 does."""
    g = pair()
    waiting(g)
    assert start(g, 1, vtl=1, initial=initial_context(1, rip=CODE + 0x5000)) == 0
    g.use(1)
    g.m.dma_write(CODE + 0x5000, NOP)
    g.run(1)
    assert g.vtl == 1 and g.reg(layout.RIP) == CODE + 0x5001
    g.vtl_return()
    assert g.vtl == 0 and not g.vcpu.runs() and g.reg(layout.ACTIVITY) == WAIT_FOR_SIPI
    g.use(0)
    assert start(g, 1, initial=initial_context(0, rip=CODE + 0x6000)) == 0
    g.use(1)
    assert g.m.vcpus[1].planes[0].get(layout.ACTIVITY) == RUNNING


def test_s78_what_cannot_be_started():
    g = pair()
    assert start(g, VP_SELF) == 0xE and start(g, 0) == 0xE and start(g, 2) == 0xE
    assert start(g, 1) == 0x15                                  # it runs
    waiting(g)
    assert start(g, 1, partition=5) == 0xD and start(g, 1, vtl=2) == 0x6
    assert start(g, 1, initial=initial_context(0, cr0=0)) == 0x50
    assert g.call(0x99, extra=1 << 16)[0] == 0x3
    g.vtl_return()
    assert start(g, 1, vtl=1) == 0x6


def test_s108_indexes_from_apic_ids():
    g = pair()
    header = struct.pack("<QB7x", SELF, 0)
    assert g.call(0x9A, header + struct.pack("<2I", 1, 0x77), count=2) == (0x5, 1)
    assert g.m.memory.read(0x17000, 4) == struct.pack("<I", 1)
    assert g.call(0x9A, struct.pack("<QB7x", 3, 0) + bytes(4), count=1) == (0xD, 0)


def test_s101_another_processors_registers_change_between_instructions():
    g = pair()
    g.use(1)
    g.step(JUMP_SELF, count=5)
    g.use(0)
    assert g.set((RIP, CODE + 0x6000), vp=1, vtl=0) == (0, 1)
    g.use(1)
    g.step(NOP)
    assert g.reg(layout.RIP) == CODE + 0x6001


def test_s102_of_two_processors_that_enable_vtl1_for_themselves_one_succeeds():
    g = Guest(vcpus=2)
    assert g.enable_partition() == 0
    answers = []
    for vp in (0, 1):
        g.use(vp)
        g.reg(layout.RIP, CODE + 0x4000 * vp)
        answers.append(g.enable_vp())
    assert answers == [0, 0x6]


def test_long_spins_and_extended_capabilities():
    g = pair()
    assert g.call(0x08, struct.pack("<Q", 1000))[0] == 0
    assert g.call(0x8001)[0] == 0 and g.m.memory.read(0x17000, 8) == bytes(8)


def icr(g, vector, destination):
    g.wrmsr(0x40000071, destination << 56 | vector)             # the HV_X64_MSR_ICR of the VTL that runs


def test_s64_ipis_go_to_the_senders_vtl():
    g = pair()
    icr(g, 0x40, 1)
    assert (irr(g, 1, 0), irr(g, 1, 1)) == (0, 1 << 0x40)
    g.use(1)
    assert g.attempt(NOP) == 1                                  # VP1 is preempted
    g.use(0)
    g.vtl_return()
    icr(g, 0x41, 1)
    assert (irr(g, 1, 0), irr(g, 1, 1)) == (1 << 0x41, 1 << 0x40)


def test_s65_an_ipi_for_vtl0_waits_while_vtl1_runs():
    g = pair()
    g.use(1)
    g.plane.rflags = 0x202
    g.vtl_call()
    g.use(0)
    g.vtl_return()
    icr(g, 0x40, 1)
    g.use(1)
    g.step(NOP)
    assert g.vtl == 1 and irr(g, 1, 0) == 1 << 0x40
    g.vtl_return()
    g.run(1)
    assert g.vtl == 0 and g.reg(layout.RIP) == HANDLER + 1 and irr(g, 1, 0) == 0
