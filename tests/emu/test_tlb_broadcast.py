"""INVLPGB and TLBSYNC on a processor without guests (APM Vol. 3; 80000008 EBX bit 3 and EDX)."""

import struct

import pytest

from jit import layout
from tests.emu.flat import DATA, PT, STACK, Flat

OTHER, GP, UD = DATA + 0x1000, 13, 6
INVLPGB, TLBSYNC, LOAD = "0f01fe", "0f01ff", "8a03"         # mov al, [rbx]


def test_it_drops_translations_on_every_processor():
    guest = Flat(vcpus=2)
    guest.m.memory.write(DATA, b"\x11")
    guest.m.memory.write(OTHER, b"\x22")
    guest.code(LOAD + LOAD, vcpu=1, rbx=DATA)
    guest.code(INVLPGB + TLBSYNC + "90", rax=DATA | 1, rcx=0, rdx=0)
    other, plane = guest.m.vcpus[1], guest.m.vcpus[1].plane
    other.run(1)
    guest.m.memory.write(PT + 8 * (DATA >> 12), struct.pack("<Q", OTHER | 7))
    assert plane.get(layout.gpr(0)) & 0xFF == 0x11
    guest.m.vcpus[0].run(2)
    other.run(1)
    assert plane.get(layout.gpr(0)) & 0xFF == 0x22
    answer = guest.m.vcpus[0].cpuid.read(0x80000008, 0)
    assert answer[1] >> 3 & 1 and answer[3] == 7


@pytest.mark.parametrize(("cpu", "cpl", "pages", "vector"), (
    ("max", 0, 8, GP), ("max", 3, 0, GP), ("Skylake-Server", 0, 0, UD), ("x86-64-v3", 3, 0, UD)))
def test_faults(cpu, cpl, pages, vector):
    guest = Flat(cpu=cpu)
    if cpl:
        guest.long_mode(guest.plane, user=True)
    guest.code(INVLPGB + "90", rax=DATA | 1, rcx=pages, rsp=STACK + 0x1000)
    guest.run(3)
    assert guest.count(vector) >= 1


@pytest.mark.parametrize("operands", (
    {"rax": 1 << 6}, {"rax": 1 << 11}, {"rcx": 1 << 16}, {"rcx": 1 << 30}, {"rdx": 1 << 28}, {"rdx": 1 << 31}))
def test_reserved_bits(operands):
    guest = Flat()
    guest.code(INVLPGB + "90", **{"rax": DATA | 1, "rcx": 0, "rdx": 0, "rsp": STACK + 0x1000, **operands})
    guest.run(3)
    assert guest.count(GP) >= 1


def test_every_operand_that_is_defined():
    guest = Flat()
    guest.code(INVLPGB + "90", rax=DATA | 0x3F, rcx=1 << 31 | 7, rdx=0xFFFFFFF, rsp=STACK + 0x1000)
    guest.run(2)
    assert guest.count(GP) == 0
