"""Pages that the hypervisor lays down or writes for a lower VTL: never over what a higher VTL protects."""
import struct

import pytest

from tests.emu.planes.vsm.guest import ASSIST, CONFIG, NOP, OS_ID, SELF, VP_SELF, Guest

SECRET, OPEN = 0x300000, 0x301000
OS_ID_MSR, HYPERCALL, REFERENCE_TSC, ASSIST_MSR, SIEFP, SIMP, SCONTROL, SINT2 = (
    0x40000000, 0x40000001, 0x40000021, 0x40000073, 0x40000082, 0x40000083, 0x40000080, 0x40000092)


@pytest.fixture
def guest():
    """VTL0 runs; VTL1 has taken SECRET away from it, and lets it read SECRET + 0x2000."""
    g = Guest()
    g.secure()
    g.m.memory.write(SECRET, b"secret" * 100)
    assert g.protect(0, SECRET) == (0, 1) and g.protect(0xD, SECRET + 0x2000) == (0, 1)
    g.vtl_return()
    g.wrmsr(OS_ID_MSR, OS_ID)
    return g


def untouched(g):
    return g.m.memory.read(SECRET, 600) == b"secret" * 100


@pytest.mark.parametrize("index", [HYPERCALL, REFERENCE_TSC, ASSIST_MSR, SIEFP, SIMP])
def test_vtl0_cannot_enable_one_there(guest, index):
    for page in (SECRET, SECRET + 0x2000):
        assert guest.faults(guest.wrmsr, index, page | 1) and not guest.rdmsr(index) & 1
    assert untouched(guest)
    guest.wrmsr(index, OPEN | 1)
    assert guest.rdmsr(index) == OPEN | 1


def post(g, sint=2):
    message = struct.pack("<IBBHQ", 7, 16, 0, 0, 0) + b"x" * 240
    return g.call(0xC1, struct.pack("<QIBB10x", SELF, VP_SELF, 0, sint) + message)[0]


def test_messages_and_events_stop_once_the_page_is_taken_away(guest):
    guest.wrmsr(SIMP, OPEN | 1)
    guest.wrmsr(SIEFP, OPEN | 1)
    guest.wrmsr(SCONTROL, 1)
    guest.wrmsr(SINT2, 0x40)
    assert post(guest) == 0 and guest.m.memory.read(OPEN + 0x200, 1) == b"\7"
    guest.vtl_call()
    guest.m.memory.write(OPEN, bytes(4096))
    assert guest.protect(0, OPEN) == (0, 1)
    guest.vtl_return()
    post(guest)
    guest.call(0xC0, struct.pack("<QIBBH", SELF, VP_SELF, 0, 2, 5))
    assert guest.m.memory.read(OPEN, 4096) == bytes(4096)


def test_a_message_page_beneath_the_hypercall_page_gets_nothing(guest):
    guest.wrmsr(SCONTROL, 1)
    guest.wrmsr(SIMP, OPEN | 1)
    guest.wrmsr(HYPERCALL, OPEN | 1)
    before = guest.m.memory.read(OPEN, 4096)
    for _ in range(3):
        post(guest, sint=15)
    assert guest.m.memory.read(OPEN, 4096) == before


def test_a_higher_vtls_overlay_may_hide_its_own_memory(guest):
    guest.vtl_call()
    guest.wrmsr(OS_ID_MSR, OS_ID)
    guest.wrmsr(HYPERCALL, SECRET | 1)
    assert guest.m.memory.read(SECRET, 2) == b"\x0f\x01"


def test_the_middle_vtls_assist_page_is_not_written_once_vtl2_protects_it():
    g = Guest("ms-vtl2", max_vtl=2)
    assert g.enable_partition(1) == 0 and g.enable_vp(1) == 0 and g.enable_partition(2) == 0x6
    g.vtl_call()
    g.wrmsr(ASSIST_MSR, ASSIST | 1)
    assert g.enable_partition(2) == 0 and g.enable_vp(2) == 0
    g.vtl_return()
    g.vtl_call()
    assert g.vtl == 1 and g.m.memory.read(ASSIST + 8, 1) == b"\1"
    g.vtl_call()
    assert g.vtl == 2 and g.set((CONFIG, 0x3F)) == (0, 1) and g.protect(1, ASSIST) == (0, 1)
    g.m.memory.write(ASSIST, bytes(64))
    g.vtl_return()
    g.vtl_return()
    g.vtl_call()
    assert g.vtl == 1 and g.m.memory.read(ASSIST, 64) == bytes(64)


def test_the_eoi_assist_does_not_write_there_either(guest):
    guest.wrmsr(ASSIST_MSR, OPEN | 1)
    guest.vtl_call()
    assert guest.protect(1, OPEN) == (0, 1)
    guest.vtl_return()
    guest.vcpu.lapics[0].svr = 0x1FF
    guest.wrmsr(0x40000071, 0x4_0041)                       # ICR: a fixed interrupt to itself
    guest.plane.rflags = 0x202
    guest.step(NOP, count=2)
    assert guest.vcpu.lapics[0].isr >> 0x41 & 1 and guest.m.memory.read(OPEN, 4) == bytes(4)


