"""What a VTL may configure of the memory protections: enabling, the default mask, mode-based execution control (TLFS,
Virtual Secure Mode, "Memory access protections")."""
import struct

import pytest

from jit import layout
from tests.emu.planes.vsm.guest import CODE, CONFIG, INPUT, MESSAGES, NOP, PD, SINT0, Guest
from tests.emu.planes.vsm.test_protection import CALL, LOAD, NONE, PAGE, RWX, RX, R, header


def test_s80_without_enabling_protections_masks_cannot_be_set():
    g = Guest()
    g.enter_vtl1()
    assert g.protect(NONE, PAGE) == (0x6, 0)


@pytest.mark.parametrize("dialect, status", [("ms", 0x5), ("kut", 0x6)])
def test_s88_vtl0_cannot_protect_and_flags_must_make_sense(dialect, status):
    g = Guest(dialect)
    g.secure()
    for flags in (2, 4, 5, 8, 0x10, 0x8000):
        assert g.protect(flags, PAGE) == (0x50, 0)
    g.vtl_return()
    assert g.protect(R, PAGE) == (status, 0)
    assert g.protect(R, PAGE, input_vtl=0x11) == (0x6, 0)
    assert g.protect(R, PAGE, input_vtl=0x20) == (0x5, 0)
    assert g.partition.protections.allows(0, PAGE, 1)


@pytest.mark.parametrize("dialect, answer", [("ms", (0x50, 0)), ("kut", (0, 1))])
def test_s89_the_default_mask_is_locked_once_protections_are_on(dialect, answer):
    g = Guest(dialect)
    g.secure()
    for value in (0x3E, 0x27, 0x37):
        assert g.set((CONFIG, value)) == answer
        assert g.get(CONFIG)[1] == [0x3F]
    assert g.set((CONFIG, 0x7F)) == (0, 1) and g.get(CONFIG)[1] == [0x7F]


def test_the_default_mask_applies_to_all_ram():
    g = Guest()
    g.secure(mask=0x3)
    g.protect(RWX, CODE, 0x12000, INPUT)
    g.vtl_return()
    assert g.attempt(LOAD, rax=PAGE) == 0
    g.step(CALL, rax=PAGE)
    g.run(1)
    assert g.vtl == 1 and header(g.message()[1])[2] == 2


def test_mbec_decides_by_privilege():
    g = Guest()
    assert g.enable_partition(flags=1) == 0 and g.enable_vp() == 0
    assert g.get(0xD0004)[1] == [0x310003]
    g.vtl_call()
    assert g.get(0xD0003)[1][0] & 0x10 == 0
    g.wrmsr(0x40000083, MESSAGES | 1)
    g.wrmsr(0x40000080, 1)
    g.wrmsr(SINT0, 0x30)
    assert g.set((CONFIG, 0x3F)) == (0, 1)
    g.protect(RX, PAGE)                                     # user-mode execution alone
    g.vcpu.planes[0].set(layout.CR4, 0x20 | 1 << 20)
    g.m.memory.write(PAGE, NOP)
    g.vtl_return()
    g.vcpu.planes[0].set(layout.RIP, PAGE)
    g.m.memory.write(PD, struct.pack("<2Q", 0x83, 0x200083))        # supervisor pages, as SMEP is on
    g.plane.flush()
    g.run(1)
    assert g.vtl == 0 and g.reg(layout.RIP) == PAGE + 1     # without MbecEnabled either flag allows it
    g.reg(layout.RIP, CODE)
    g.vtl_call()
    assert g.set((0xD0010, 1)) == (0, 1) and g.get(0xD0010)[1] == [1]
    g.vtl_return()
    g.reg(layout.RIP, PAGE)
    g.run(1)
    assert g.vtl == 1 and header(g.message()[1])[2] == 2


def test_secure_config_is_for_lower_vtls_and_offered_bits():
    g = Guest()
    g.secure()
    assert g.set((0xD0010, 4)) == (0x50, 0) and g.set((0xD0011, 0)) == (0x6, 0)
    g.vtl_return()
    assert g.set((0xD0010, 0)) == (0x6, 0)
