"""Virtual Secure Mode where scenarios of KVM planes are about it; plN: number in their list."""
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from jit import layout
from tests.emu.planes.vsm.guest import ASSIST, CONFIG, MESSAGES, NOP, RAX, SCONTROL, SIMP, SINT0, SINT0_VECTOR, Guest

RCX = layout.gpr(1)
PAGE, OTHER = 0x200000, 0x201000
LOAD = b"\x48\x8b\x00"                  # mov rax, [rax]
ASSIST2, MESSAGES2 = ASSIST + 0x4000, MESSAGES + 0x4000


def test_pl28_of_several_that_deny_an_access_the_least_privileged_is_told_first():
    g = Guest(max_vtl=2)
    g.secure()
    assert g.enable_partition(2) == 0 and g.enable_vp(2) == 0
    g.vtl_call()
    assert g.vtl == 2
    g.wrmsr(0x40000073, ASSIST2 | 1)
    for index, value in ((SIMP, MESSAGES2 | 1), (SCONTROL, 1), (SINT0, SINT0_VECTOR)):
        g.wrmsr(index, value)
    assert g.set((CONFIG, 0xF << 1 | 0x21)) == (0, 1)
    assert g.protect(0, PAGE, OTHER, input_vtl=0x10) == (0, 2)
    g.vtl_return()
    assert g.vtl == 1 and g.protect(0, PAGE) == (0, 1)
    g.vtl_return()
    assert g.vtl == 0
    assert g.attempt(LOAD, rax=PAGE) == 1
    g.handled()
    g.vtl_return()
    assert g.vtl == 0 and g.attempt(LOAD, rax=OTHER) == 2


@pytest.mark.parametrize("fast", (False, True))
def test_pl32_a_return_after_an_interrupt(fast):
    """A normal one gives the interrupted VTL its RAX and RCX bit by bit, where VTL1 kept them; a fast one does not. RIP
    is where it was."""
    g = Guest()
    g.enter_vtl1()
    g.vtl_return()
    kept = 0xFEDCBA9876543210, 0x0123456789ABCDEF
    rip = g.reg(layout.RIP)
    g.m.dma_write(rip, NOP)
    for register, value in zip((RAX, RCX), kept, strict=True):
        g.reg(register, value)
    g.vcpu.lapics[1].accept(ApicMessage(0x50))
    g.run(0)
    assert g.vtl == 1 and g.m.memory.read(ASSIST + 8, 4) == bytes((2, 0, 0, 0))
    g.vcpu.lapics[1].acknowledge()
    g.vcpu.interrupt_changed(1)
    g.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", *kept))
    g.vtl_return(fast=fast)
    assert g.vtl == 0 and g.reg(layout.RIP) == rip
    assert (g.reg(RAX), g.reg(RCX)) == ((1, 0x12) if fast else kept)
