"""x87, vector, CET and time-stamp state as VP registers; events that a higher VTL makes pending."""
import struct

import pytest

from jit import fpu_layout, layout
from tests.emu.planes.vsm.guest import HANDLER, PD, Guest

PENDING_INTERRUPTION, PENDING_EVENT_1, DR6, TSC, DEBUGCTL = 0x10002, 0x10005, 0x50004, 0x80000, 0x8007D
XMM, YMM_HIGH, FP, FP_STATUS, XMM_STATUS = 0x30000, 0xC0010, 0x30010, 0x30018, 0x30019
XSS, U_CET, S_CET, SSP, PL0_SSP, PL3_SSP, SSP_TABLE, DEADLINE, ADJUST = (
    0x8008B, 0x8008C, 0x8008D, 0x8008E, 0x8008F, 0x80092, 0x80093, 0x80095, 0x80096)


@pytest.fixture
def guest():
    g = Guest()
    g.enter_vtl1()
    return g


def read(g, *names, vtl=0):
    answer, values = g.get(*names, vtl=vtl)
    assert answer == (0, len(names))
    return values


def test_floating_point_state_is_that_of_both_vtls(guest):
    plane = guest.plane
    plane.fpu_set(fpu_layout.xmm(7), 0x1111)
    plane.fpu_set(fpu_layout.xmm(7) + 8, 0x2222)
    plane.fpu_set(fpu_layout.xmm(7) + 24, 0x3333)
    guest.step(b"\xdb\xe3\xd9\xe8\xd9\xeb", count=3)                # fninit; fld1; fldpi
    assert read(guest, XMM + 7, YMM_HIGH + 7) == [0x2222 << 64 | 0x1111, 0x3333 << 64]
    assert read(guest, FP, FP + 1) == [0x4000_C90FDAA22168C235, 0x3FFF_8000000000000000]
    (status,) = read(guest, FP_STATUS)
    assert struct.unpack("<HHBBHQ", status.to_bytes(16, "little"))[:4] == (0x37F, 0x3000, 0xC0, 0)
    assert struct.unpack("<QII", read(guest, XMM_STATUS)[0].to_bytes(16, "little"))[1:] == (0x1F80, 0xFFFF)
    for name in (XMM, FP, FP_STATUS, XMM_STATUS, YMM_HIGH):
        assert guest.set((name, 0), vtl=0) == (0x5, 0)


@pytest.mark.parametrize("name, value, bad", [
    (DEBUGCTL, 1, 1 << 40), (U_CET, 1, 1 << 6), (S_CET, 5, 0xC00), (SSP, 0x1000, 0x1001), (PL0_SSP, 0x2000, 1 << 63),
    (PL0_SSP + 2, 0x2000, 2), (PL3_SSP, 0x3000, 3), (SSP_TABLE, 0xFFFF_8000_0000_0000, 1 << 50), (XSS, 0x800, 1 << 60),
    (ADJUST, 0x1234, 1 << 64), (TSC, 5, 1 << 64)])
def test_private_registers_of_a_lower_vtl(guest, name, value, bad):
    own = read(guest, name, vtl=1)
    assert guest.set((name, bad), vtl=0) == (0x50, 0) and guest.set((name, value), vtl=0) == (0, 1)
    (now,) = read(guest, name)
    assert value <= now < value + 5000                              # the TSC goes on
    assert name == TSC or read(guest, name, vtl=1) == own


def test_dr6_is_private_and_keeps_its_fixed_bits(guest):
    assert guest.set((DR6, 0x400F), vtl=0) == (0, 1) and read(guest, DR6) == [0xFFFF4FFF]
    assert read(guest, DR6, vtl=1) == [0xFFFF0FF0] and guest.set((DR6, 1 << 32), vtl=0) == (0x50, 0)


def test_a_deadline_counts_in_deadline_mode_alone(guest):
    assert guest.set((DEADLINE, 1 << 60), vtl=0) == (0, 1) and read(guest, DEADLINE) == [0]
    guest.vcpu.lapics[0].write_register(0x320, 2 << 17 | 0x10041)
    assert guest.set((DEADLINE, 1 << 60), vtl=0) == (0, 1) and read(guest, DEADLINE) == [1 << 60]
    assert read(guest, DEADLINE, vtl=1) == [0]


def test_a_tsc_that_was_set_is_what_rdtsc_reads(guest):
    assert guest.set((TSC, 1 << 40), vtl=0) == (0, 1)
    guest.vtl_return()
    guest.step(b"\x0f\x31")                                         # rdtsc
    assert guest.reg(layout.gpr(2)) == 1 << 8


@pytest.mark.parametrize("value, vector, error", [
    (1 | 3 << 1 | 1 << 4 | 13 << 16 | 0x55 << 32, 13, 0x55), (1 | 0x41 << 16, 0x41, None),
    (1 | 2 << 1 | 2 << 16, 2, None)], ids=["exception", "interrupt", "nmi"])
def test_pending_interruption_is_delivered_when_the_vtl_runs(guest, value, vector, error):
    """IF of the lower VTL does not matter: it counts as accepted."""
    assert guest.set((PENDING_INTERRUPTION, value), vtl=0) == (0, 1) and read(guest, PENDING_INTERRUPTION) == [value]
    rip = guest.vcpu.planes[0].get(layout.RIP)
    guest.vtl_return()
    guest.run(1)
    frame = struct.unpack("<2Q", guest.m.memory.read(guest.reg(layout.gpr(4)), 16))
    assert guest.vtl == 0 and guest.reg(layout.RIP) - HANDLER in (1, 2)
    assert frame[:2] == (error, rip) if error is not None else frame[0] == rip


def test_pending_interruption_can_be_taken_back_and_must_be_one(guest):
    assert guest.set((PENDING_INTERRUPTION, 1 | 0x41 << 16), (PENDING_INTERRUPTION, 0), vtl=0) == (0, 2)
    assert read(guest, PENDING_INTERRUPTION) == [0]
    for value in (1 | 0xF << 16, 1 | 4 << 1 | 3 << 16, 1 | 2 << 1 | 3 << 16, 1 | 3 << 1 | 2 << 16,
                  1 | 3 << 1 | 1 << 4 | 6 << 16):
        assert guest.set((PENDING_INTERRUPTION, value), vtl=0) == (0x50, 0), hex(value)
    assert guest.set((PENDING_INTERRUPTION, 0), vtl=1) == (0x5, 0)


def test_a_lower_vtl_goes_on_in_32_bit_mode_with_pae_paging(guest):
    """The four PDPTEs come from memory when a write of CR0 or CR3 makes them count."""
    def flat(attributes):
        return 0xFFFFFFFF << 64 | 8 << 96 | attributes << 112

    guest.m.memory.write(0x30000, struct.pack("<4Q", PD | 1, 0, 0, 0))
    guest.m.memory.write(0x31000, struct.pack("<4Q", 0, PD | 1, 0, 0))
    assert guest.set((0x40000, 0x11), (0x80001, 0), (0x40003, 0x20), (0x40002, 0x30000), (0x60001, flat(0xC09B)),
                     (0x60002, flat(0xC093)), (0x60003, flat(0xC093)), (0x40000, 0x80000011), vtl=0) == (0, 8)
    guest.vtl_return()
    guest.m.memory.write(0x300010, b"test")
    guest.step(b"\x8b\x18", rax=0x300010)                   # mov ebx, [eax]
    assert guest.reg(layout.gpr(3)) == int.from_bytes(b"test", "little")
    guest.step(rax=0x11, rdx=0, rcx=0)
    assert guest.vtl == 1 and guest.set((0x40002, 0x31000), (0x20010, 0x40020000), vtl=0) == (0, 2)
    guest.vtl_return()
    guest.m.dma_write(0x20000, b"\x8b\x18")
    guest.reg(layout.gpr(0), 0x40300010)
    guest.reg(layout.gpr(3), 0)
    guest.run(1)
    assert guest.reg(layout.gpr(3)) == int.from_bytes(b"test", "little")


def test_there_is_no_second_event(guest):
    assert read(guest, PENDING_EVENT_1) == [0]
    assert guest.set((PENDING_EVENT_1, 0), vtl=0) == (0, 1) and guest.set((PENDING_EVENT_1, 1), vtl=0) == (0x50, 0)
