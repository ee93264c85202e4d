"""MONITOR, MWAIT and their variants; hwN: number in the scenario list of halting and waiting."""
import random
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from emu.waiting import RUNNING
from jit import layout, pmap
from tests.emu.flat import CODE, DATA, IF, PT, STACK, Flat

MONITOR, MWAIT, NOP = "0f01c8", "0f01c9", "90"
UMONITOR_RAX, UMWAIT_ECX, TPAUSE_ECX = "f30faef0", "f20faef1", "660faef1"
MONITORX, MWAITX = "0f01fa", "0f01fb"
STORE = "c60601"                                    # mov byte [rsi], 1
LINE = DATA + 0x40
ZERO = {"rcx": 0, "rdx": 0}


def asleep(g, vcpu=0):
    return g.activity(vcpu) != RUNNING


def sleeper(g, vcpu=0, address=LINE, rflags=2, wait=MWAIT, arm=MONITOR, **registers):
    """A vCPU that arms a line and waits."""
    g.code(arm + wait + NOP, vcpu=vcpu, rflags=rflags, **ZERO | {"rax": address} | registers)


@pytest.mark.parametrize("offset", (-1, 0, 31, 63, 64))
def test_hw20_a_store_before_mwait_is_not_lost(two, offset):
    """The line's own bytes count, its neighbours do not."""
    two.code(MONITOR + MWAIT + NOP, **ZERO, rax=LINE + 7)
    two.code("f4", vcpu=1)
    two.m.vcpus[0].run(1)
    two.code(STORE, vcpu=1, rsi=LINE + offset)
    two.m.vcpus[1].run(1)
    two.m.vcpus[0].run(1)
    assert asleep(two) == (offset in (-1, 64))


def test_hw20_every_byte_of_the_line_ends_the_wait(two):
    two.code("c60601" "48ffc6", vcpu=1)                     # mov byte [rsi], 1; inc rsi
    for offset in range(-1, 65):
        sleeper(two)
        two.m.vcpus[0].plane.set(layout.ACTIVITY, RUNNING)
        two.m.vcpus[0].run(2)
        assert asleep(two)
        second = two.m.vcpus[1].plane
        second.set(layout.RIP, CODE + 0x1000)
        second.set(layout.gpr(6), LINE + offset)
        two.m.vcpus[1].run(1)
        two.m._wake()
        assert asleep(two) == (offset in (-1, 64)), offset
        two.m.dma_write(LINE, b"\0")


@pytest.mark.parametrize("code", (
    STORE, "668906", "8906", "488906", "f00fb00e", "f00106", "8726", "0f7f06", "0f2906", "c5fc1106", "0fc70e",
    "0fae06", "aa", "f3aa", "a4", "f3a4", "ff36", "d91e", "db3e", "0fc306"), ids=(
    "byte", "word", "dword", "qword", "cmpxchg", "add", "xchg", "movq", "movaps", "vmovups", "cmpxchg8b", "fxsave",
    "stosb", "rep-stosb", "movsb", "rep-movsb", "push", "fstp", "fstp80", "movnti"))
def test_hw21_every_kind_of_store_wakes(code):
    two = Flat(vcpus=2)
    registers = {"rsi": LINE, "rdi": LINE, "rcx": 8, "rax": 1}
    if code == "ff36":                                      # push: the stack is in the line
        registers |= {"rsi": DATA + 0x800, "rsp": LINE + 16}
    if code in ("a4", "f3a4"):
        registers["rsi"] = DATA + 0x800
    sleeper(two)
    plane = two.m.vcpus[1].plane
    plane.set(layout.CR4, 0x40620)
    plane.set(layout.XCR0, 7)
    plane.update_mode()
    two.code("dbe3" + code, vcpu=1, **registers)            # fninit first
    two.run(200)
    assert two.rip() == len(MONITOR + MWAIT + NOP) // 2 + 1, two.reports


def test_hw21_writes_of_devices_and_of_the_monitors_owner_wake(g):
    for write in (lambda: g.m.dma_write(LINE + 63, b"x"), lambda: g.m._device_write(LINE - 8, bytes(9))):
        sleeper(g)
        g.plane.set(layout.ACTIVITY, RUNNING)
        assert g.run() == "halted" and g.rip() == 6
        write()
        g.run()
        assert g.rip() == 8


def test_hw21_an_accessed_bit_wakes(two):
    """The other vCPU's page walk sets it in the line of the page-table entry."""
    entry = PT + 8 * (DATA >> 12)
    two.m.dma_write(entry, struct.pack("<Q", DATA | 7))
    sleeper(two, address=entry)
    two.code("8a06", vcpu=1, rsi=DATA)                      # mov al, [rsi]
    two.run(50)
    assert two.rip() == 8 and two.read(entry) & 0x20


def test_hw21_another_planes_store_wakes():
    """VTL1 of another vCPU stores; and so does the hypervisor, when it enters a VTL."""
    from tests.emu.planes.vsm.guest import ASSIST, Guest
    guest = Guest(vcpus=2)
    guest.enter_vtl1()
    assert guest.enable_vp(vp=1) == 0
    guest.vtl_return()
    for line, write in ((LINE, lambda: (guest.vtl_call(), guest.step(bytes.fromhex(STORE), rsi=LINE))),
                        (ASSIST, lambda: (guest.wrmsr(0x40000073, ASSIST | 1), guest.vtl_return(),
                                          guest.vtl_call()))):
        guest.use(0)
        guest.step(bytes.fromhex(MONITOR), rax=line, **ZERO)
        guest.step(bytes.fromhex(MWAIT))
        assert not guest.vcpu.runs()
        guest.use(1)
        write()
        guest.m._wake()
        assert guest.m.vcpus[0].runs()


@pytest.mark.parametrize("code, wakes", ((STORE, True), ("f00fb00e", True), ("8a06", False), ("0f180e", False),
                                         ("0f0d0e", False)), ids=("same", "cmpxchg", "load", "prefetch", "prefetchw"))
def test_hw22_writes_wake_whatever_they_write(two, code, wakes):
    two.m.dma_write(LINE, b"\1")
    sleeper(two)
    two.code(code, vcpu=1, rsi=LINE, rax=0, rcx=9)
    two.run(50)
    assert asleep(two) != wakes or two.rip() == 8
    assert (two.rip() == 8) == wakes


def test_hw23_the_own_store_in_between_ends_the_wait(g):
    g.code(MONITOR + STORE + MWAIT + NOP, **ZERO, rax=LINE, rsi=LINE + 5)
    g.run()
    assert g.rip() == 11


def test_hw24_one_store_wakes_all_that_monitor_the_line_and_no_others():
    g = Flat(vcpus=4)
    for vcpu, line in ((0, LINE), (1, LINE), (2, LINE + 0x40)):
        sleeper(g, vcpu, line)
    g.code(NOP * 40 + STORE, vcpu=3, rsi=LINE + 1)
    g.run(200)
    assert [g.rip(n) for n in range(3)] == [8, 8, 6]


@pytest.mark.parametrize("code", (MWAIT, MONITOR + UMWAIT_ECX + MWAIT, UMONITOR_RAX + MWAIT, MONITORX + MWAIT,
                                  MONITOR + MWAITX, UMWAIT_ECX))
def test_hw25_only_the_own_familys_arming_makes_a_wait(g, code):
    g.code(code + NOP, rax=LINE, **ZERO)
    g.run()
    assert g.rip() == len(code) // 2 + 2


def test_hw26_with_the_break_extension_a_masked_interrupt_ends_the_wait(g):
    g.code(MONITOR + "ffc1" + MWAIT + NOP + "fb" + NOP, rax=LINE, **ZERO)
    g.run(3)
    assert asleep(g)
    g.interrupt()
    g.run(1)
    assert g.rip() == 9 and g.count(0x50) == 0
    g.run()
    assert g.count(0x50) == 1


def test_hw26_without_it_a_masked_interrupt_does_not(g):
    sleeper(g)
    g.run(2)
    g.interrupt()
    assert g.run() == "halted" and asleep(g)
    g.nmi()
    g.run()
    assert g.rip() == 8 and g.count(2) == 1


def test_hw27_a_masked_priority_ends_nothing(g):
    g.vcpu.lapic.write_register(0x80, 0x50)
    g.code(MONITOR + "ffc1" + MWAIT + NOP, rax=LINE, **ZERO)
    g.interrupt()
    assert g.run() == "halted" and asleep(g)


@pytest.mark.parametrize("ecx", (2, 4, 1 << 31))
def test_hw28_unknown_extensions_are_refused_unknown_hints_are_not(g, ecx):
    g.code(MWAIT + NOP, rax=0xFFFFFFFF, rcx=ecx)
    g.run(2)
    assert g.count(13) == 1
    g.code(MWAIT + NOP, rax=0xFFFFFFFF, rcx=0)
    g.run(2)
    assert g.count(13) == 1 and g.rip() == 4


def test_hw29_monitor_faults_as_a_load_does(g):
    g.m.dma_write(PT + 8 * (DATA >> 12), struct.pack("<2Q", 0, DATA + 0x1000 | 5))
    g.code(MONITOR, rax=LINE, **ZERO)
    g.run(2)
    assert g.count(14) == 1 and g.plane.get(layout.CR2) == LINE and g.read(STACK + 0x1000 - 48) == 0
    g.code(MONITOR + NOP, rax=LINE, rcx=1, rdx=0)
    g.run(2)
    assert (g.count(13), g.count(14)) == (1, 1)             # before the access
    sleeper(g, address=DATA + 0x1000)                       # read-only
    assert g.run() == "halted" and asleep(g)
    g.plane.set(layout.ACTIVITY, RUNNING)
    g.code(MONITOR + NOP, rax=1 << 47, **ZERO)              # not canonical
    g.run(2)
    assert g.count(13) == 2


def test_hw29_a_devices_registers_are_not_monitored(g):
    g.m.dma_write(PT + 8 * (DATA >> 12), struct.pack("<Q", 0xFEE00000 | 7))
    sleeper(g)
    g.run()
    assert g.rip() == 8 and not g.reports


def test_hw30_misc_enable_takes_monitor_and_mwait_away(g):
    assert g.vcpu.cpuid.read(1, 0)[2] & 8 and g.vcpu.cpuid.read(5, 0) == (64, 64, 3, 0x10)
    g.vcpu.msrs.write(0x1A0, g.vcpu.msrs.read(0x1A0) & ~(1 << 18))
    for n, code in enumerate((MONITOR, MWAIT)):
        g.code(code, rax=LINE, **ZERO)
        g.run(1)
        assert g.count(6) == n + 1
    assert not g.vcpu.cpuid.read(1, 0)[2] & 8


def test_hw30_user_mode_needs_the_processors_leave(g):
    g.long_mode(g.plane, user=True)
    sleeper(g, rsp=DATA + 0x800)
    g.run(1)
    assert g.count(6) == 1
    g.long_mode(g.plane, user=True)
    g.vcpu.msrs.write(0xC0010015, 1 << 10)
    sleeper(g, rsp=DATA + 0x800)
    g.run(2)
    assert g.count(6) == 1 and asleep(g)


def test_hw31_the_physical_line_is_what_is_monitored(two):
    """The page is mapped elsewhere once it is armed, and written through another address."""
    alias = DATA + 0x3000
    two.m.dma_write(PT + 8 * (alias >> 12), struct.pack("<Q", DATA | 7))
    sleeper(two)
    two.m.vcpus[0].run(2)
    two.m.dma_write(PT + 8 * (DATA >> 12), struct.pack("<Q", DATA + 0x5000 | 7))
    two.m.flush_all()
    two.code(STORE, vcpu=1, rsi=LINE)
    two.m.vcpus[1].run(1)
    two.m._wake()
    assert asleep(two)
    two.code(STORE, vcpu=1, rsi=alias + 0x41)
    two.m.vcpus[1].run(1)
    two.m._wake()
    assert not asleep(two)


def test_hw32_no_wake_up_is_lost_whatever_the_interleaving(two):
    """The idle loop: arm, look, wait. The other vCPU sets the flag at every point of it, and both go on."""
    waiter = bytes.fromhex("31c931d2" "4889f0" "0f01c8" "803e00" "7503" "0f01c9" "c60600" "ffc3" "ebe9")
    rng = random.Random(32)
    two.code(waiter, rsi=LINE, rbx=0)
    two.code("803e00" "75fb" "c60601" "ffc3" "ebf4", vcpu=1, rsi=LINE, rbx=0)   # while [rsi]: pass; [rsi] = 1
    first, second = two.m.vcpus
    for _ in range(4_000):
        two.m._wake()
        for vcpu in rng.sample((first, second), 2):
            if vcpu.runs():
                vcpu.run(rng.randrange(1, 8))
        assert first.runs() or second.runs() or not two.m.engine.monitors.armed(0)
    assert two.reg("rbx") > 300 and abs(two.reg("rbx") - two.reg("rbx", 1)) <= 1


def test_hw45_a_switch_of_planes_forgets_the_monitored_line():
    """VTL0 arms, VTL1 runs and returns, MWAIT retires; a halted VTL0 stays halted (PL-11)."""
    from tests.emu.planes.vsm.guest import Guest
    guest = Guest()
    guest.enter_vtl1()
    guest.vtl_return()
    guest.step(bytes.fromhex(MONITOR), rax=LINE, **ZERO)
    assert guest.m.engine.monitors.armed(0)
    guest.vtl_call()
    guest.vtl_return()
    assert not guest.m.engine.monitors.armed(0)
    guest.step(bytes.fromhex(MWAIT), **ZERO)
    assert guest.vcpu.runs()


def test_hw46_a_preempted_mwait_may_end_early():
    from tests.emu.planes.vsm.guest import RAX, RCX, VMCALL, Guest
    guest = Guest()
    guest.enter_vtl1()
    guest.vtl_return()
    guest.step(bytes.fromhex(MONITOR), rax=LINE, **ZERO)
    guest.step(bytes.fromhex(MWAIT))
    rip = guest.reg(layout.RIP)
    assert not guest.vcpu.runs()
    guest.vcpu.lapics[1].accept(ApicMessage(0x50))
    guest.m.dma_write(guest.vcpu.planes[1].get(layout.RIP), VMCALL)
    guest.reg(RAX, 1)
    guest.reg(RCX, 0x12)
    guest.vcpu.run(0)
    assert guest.vtl == 1
    guest.vcpu.lapics[1].acknowledge()
    guest.vcpu.interrupt_changed(1)
    guest.vcpu.run(1)
    guest.m._wake()
    assert guest.vtl == 0 and guest.vcpu.runs() and guest.reg(layout.RIP) == rip


def test_a_page_is_watched_as_long_as_a_line_of_it_is_monitored(g):
    sleeper(g)
    g.run(1)
    word = g.m.memory.map
    assert word[DATA >> 12] & pmap.WATCHED
    g.m.dma_write(LINE, b"x")
    g.m.dma_write(LINE, b"x")
    assert not word[DATA >> 12] & pmap.WATCHED


@pytest.mark.parametrize("code, cpu", ((MONITOR, "max,-monitor"), (UMONITOR_RAX, "EPYC-Milan"),
                                       (MONITORX, "Skylake-Server")))
def test_a_processor_without_the_extension_has_no_such_instruction(code, cpu):
    guest = Flat(cpu=cpu)
    guest.code(code, rax=LINE, **ZERO)
    guest.run(1)
    assert guest.count(6) == 1


def test_an_interrupt_between_monitor_and_mwait_ends_the_wait(g):
    g.code(MONITOR + NOP + MWAIT + NOP, rflags=IF, rax=LINE, **ZERO)
    g.run(2)
    g.interrupt()
    g.run()
    assert g.count(0x50) == 1 and g.rip() == 9
