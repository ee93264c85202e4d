"""UMWAIT, TPAUSE and MWAITX, whose waits have a deadline (SDM Vol. 2B UMWAIT, TPAUSE; APM Vol. 3 MWAITX)."""
import pytest

from emu.irq.lapic_msr import GeneralProtection
from jit import layout
from tests.emu.flat import DATA
from tests.emu.test_monitor import (
    LINE,
    MONITORX,
    MWAITX,
    NOP,
    STORE,
    TPAUSE_ECX,
    UMWAIT_ECX,
    ZERO,
    asleep,
)


def deadline(g, ticks, **more):
    now = g.m.clock.tsc
    return {"rax": now + ticks & 0xFFFFFFFF, "rdx": now + ticks >> 32, "rcx": 0} | more


def test_hw33_a_deadline_in_the_past_is_no_wait(g):
    g.code("f30faef6" + UMWAIT_ECX + NOP, rflags=0x8D7, rsi=LINE, rax=0, rdx=0, rcx=0)
    g.run()
    assert g.rip() == 10 and g.plane.rflags & 0x8D5 == 0


@pytest.mark.parametrize("ticks, limit, taken, carry", ((5_000, 0, 5_000, 0), (5_000, 400, 400, 1),
                                                        (300, 4_000, 300, 0)))
def test_hw33_the_earlier_of_deadline_and_limit_ends_umwait(g, ticks, limit, taken, carry):
    g.vcpu.msrs.write(0xE1, limit)
    g.code("f30faef6" + UMWAIT_ECX + "0f31" + NOP, rsi=LINE, **deadline(g, ticks))
    start = g.m.clock.tsc
    g.run()
    now = g.reg("rax") | g.reg("rdx") << 32
    assert taken <= now - start <= taken + 5 and g.plane.rflags & 1 == carry


def test_hw33_a_masked_interrupt_ends_umwait(g):
    g.code("f30faef6" + UMWAIT_ECX + NOP, rsi=LINE, **deadline(g, 1 << 40))
    g.vcpu.run(2)
    assert asleep(g)
    g.interrupt()
    g.run(1)
    assert g.rip() == 9 and g.count(0x50) == 0 and g.m.clock.next_deadline() is None


def test_hw33_reserved_bits_of_the_limit_are_refused(g):
    with pytest.raises(GeneralProtection):
        g.vcpu.msrs.write(0xE1, 2)


def test_hw34_a_store_does_not_end_tpause(two):
    two.code("f30faef6" + TPAUSE_ECX + "0f31", rsi=LINE, **deadline(two, 3_000))
    start = two.m.clock.tsc
    two.code(STORE, vcpu=1, rsi=LINE)
    two.run()
    assert (two.reg("rax") | two.reg("rdx") << 32) - start >= 3_000


@pytest.mark.parametrize("code", (UMWAIT_ECX, TPAUSE_ECX))
def test_hw34_time_stamps_may_be_for_the_kernel_and_reserved_bits_are_refused(g, code):
    g.plane.set(layout.CR4, 0x624)
    g.code(code + NOP, rax=0, **ZERO)
    g.run(2)
    assert g.count(13) == 0 and g.rip() == 5
    g.code(code, rax=0, rcx=2, rdx=0)
    g.run(2)
    assert g.count(13) == 1
    g.long_mode(g.plane, user=True)
    g.plane.set(layout.CR4, 0x624)
    g.code(code, rax=0, rsp=DATA, **ZERO)
    g.run(2)
    assert g.count(13) == 2


@pytest.mark.parametrize("ecx, ebx, wakes", ((2, 700, True), (2, 0, False), (0, 700, False)))
def test_hw35_mwaitx_may_have_a_timer(g, ecx, ebx, wakes):
    g.code(MONITORX + "89f9" + MWAITX + NOP, rax=LINE, rdi=ecx, rbx=ebx, **ZERO)
    start = g.m.clock.tsc
    g.run()
    assert (g.rip() == 10) == wakes
    if wakes:
        assert 700 <= g.m.clock.tsc - start <= 710
