"""VTL2 that was there before VTL0's first instruction, as a paravisor is."""
import struct

import pytest

from emu.load.model import ImageError
from emu.machine import Machine
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import layout
from tests.emu.planes.vsm.guest import ASSIST, CODE, CONFIG, NOP, SELF, Guest, initial_context
from tests.emu.planes.vsm.test_launch import BUILD, MEMORY

PARTITION_STATUS, VP_STATUS, GUEST_CONFIG = 0xD0004, 0xD0003, 0xD0008
PROTECTION, ZERO, VP_STARTUP, CPUID_LEAVES, PAGE = 1, 1 << 5, 1 << 9, 1 << 10, 1 << 12
SIPI, INTERCEPT_REASON = 0x80010009, 3
ACCESS_VSM = 1 << 16
ASSIST_MSR, ICR_MSR = 0x40000073, 0x40000071


@pytest.fixture
def guest():
    """VTL2 runs, on the first of two processors."""
    g = Guest("ms-vtl2", vcpus=2, max_vtl=2)
    g.m.vcpus[1].planes[0].set(layout.ACTIVITY, WAIT_FOR_SIPI)
    g.launch()
    return g


def test_it_runs_first_and_vtl0_when_it_returns(guest):
    assert guest.runnable == 0b101 and guest.m.switches[0]["cause"] == "start"
    guest.vtl_return()
    assert guest.vtl == 0 and guest.reg(layout.RIP) == CODE
    guest.vtl_call()
    assert guest.vtl == 2


def test_lower_vtls_do_not_see_it(guest):
    assert guest.get(PARTITION_STATUS)[1] == [0x520005] and guest.get(VP_STATUS)[1] == [0x50002]
    guest.vtl_return()
    assert guest.get(PARTITION_STATUS)[1] == [0x10001] and guest.get(VP_STATUS)[1] == [0x10000]
    assert guest.get(GUEST_CONFIG)[0] == (0x6, 0) and guest.set((GUEST_CONFIG, 0)) == (0x6, 0)
    assert guest.enable_partition(2) == 0x5 and guest.enable_vp(2) == 0x51


def test_it_decides_whether_they_may_have_vtl1(guest):
    assert guest.get(GUEST_CONFIG)[1] == [1]
    assert guest.set((GUEST_CONFIG, 2)) == (0x50, 0) and guest.set((GUEST_CONFIG, 0x11)) == (0x50, 0)
    assert guest.set((GUEST_CONFIG, 0)) == (0, 1)
    guest.vtl_return()
    assert guest.enable_partition(1) == 0x6 and guest.get(PARTITION_STATUS)[1] == [0x00001]
    assert not guest.vcpu.cpuid.read(0x40000003, 0)[1] & ACCESS_VSM
    guest.vtl_call()
    assert guest.vcpu.cpuid.read(0x40000003, 0)[1] & ACCESS_VSM
    assert guest.set((GUEST_CONFIG, 1)) == (0, 1)
    guest.vtl_return()
    assert guest.enable_partition(1) == 0 and guest.enable_vp(1) == 0
    assert guest.get(PARTITION_STATUS)[1] == [0x10003] and guest.get(VP_STATUS)[1] == [0x30000]
    guest.vtl_call()
    assert guest.vtl == 1 and guest.get(VP_STATUS)[1] == [0x30001]
    guest.vtl_call()
    assert guest.vtl == 2 and guest.set((GUEST_CONFIG, 0)) == (0x50, 0)


def test_linux_in_vtl_mode_configures_its_partition(guest):
    """What its driver writes: default mask, protection, zeroing, start-up and CPUID intercepts, the intercept page."""
    guest.wrmsr(ASSIST_MSR, ASSIST | 1)
    config = 0xF << 1 | PROTECTION | ZERO | VP_STARTUP | CPUID_LEAVES | PAGE
    assert guest.set((CONFIG, config)) == (0, 1) and guest.get(CONFIG)[1] == [config]
    guest.vtl_return()
    assert guest.attempt(b"\x0f\xa2", rax=0x40000099) == 2
    assert struct.unpack("<I", guest.m.memory.read(ASSIST + 8, 4))[0] == INTERCEPT_REASON
    assert guest.message(ASSIST + 0x70)[0] == 0x80010002


def start_up(g, vector):
    """VTL0 sends INIT and a start-up IPI to the other processor through the synthetic ICR."""
    g.wrmsr(ICR_MSR, 1 << 56 | 0x4500)
    g.wrmsr(ICR_MSR, 1 << 56 | 0x4600 | vector)


def test_vtl0_starts_other_processors_as_without_it(guest):
    guest.vtl_return()
    start_up(guest, 0x20)
    plane = guest.m.vcpus[1].planes[0]
    assert plane.get(layout.ACTIVITY) == RUNNING and plane.get(layout.CS_BASE) == 0x20000


def test_also_where_vtl2_is_enabled_unless_it_denies_that(guest):
    assert guest.enable_vp(2, vp=1) == 0
    guest.vtl_return()
    start_up(guest, 0x20)
    assert guest.m.vcpus[1].planes[0].get(layout.ACTIVITY) == RUNNING
    guest.vtl_call()
    assert guest.set((CONFIG, 0x3E | 1 << 6)) == (0, 1)
    guest.vtl_return()
    start_up(guest, 0x21)
    assert guest.m.vcpus[1].planes[0].get(layout.CS_BASE) == 0x20000


def test_start_up_ipis_can_be_intercepted(guest):
    guest.wrmsr(ASSIST_MSR, ASSIST | 1)
    assert guest.set((CONFIG, 0x3E | VP_STARTUP | PAGE)) == (0, 1) and guest.enable_vp(2, vp=1) == 0
    guest.vtl_return()
    start_up(guest, 0x20)
    assert guest.m.vcpus[1].planes[0].get(layout.ACTIVITY) == WAIT_FOR_SIPI
    guest.step(NOP)
    kind, payload, _ = guest.message(ASSIST + 0x70)
    assert guest.vtl == 2 and kind == SIPI and struct.unpack_from("<II", payload, 0x28) == (1, 0x20)
    block = struct.pack("<QIB3x", SELF, 1, 0) + initial_context(0, rip=CODE + 0x9000)
    assert guest.call(0x99, block)[0] == 0
    assert guest.m.vcpus[1].planes[0].get(layout.RIP) == CODE + 0x9000


@pytest.mark.parametrize("engine", ["auto", "interp"])
def test_a_paravisor_of_ours_and_a_guest_above_it(engine):
    out, debug, reports = bytearray(), bytearray(), []
    m = Machine(memory=MEMORY, planes="vsm", policy="ms-vtl2", engine=engine, serial_out=out.extend,
                debug_out=debug.extend, report=reports.append)
    m.load(str(BUILD / "vsm_beneath.elf"), vtl2=str(BUILD / "vsm_paravisor.elf"))
    stop = m.run(max_insns=2_000_000)
    assert (stop.reason, stop.status) == ("exit", 1) and b" 0 failed" in out and not reports, out + debug
    kinds = {i["kind"] for i in m.intercepts}
    assert kinds == {"CPUID", "MSR", "I/O port", "exception", "memory"}
    assert all(i["to"] == 2 and i["cause"] == "intercept" for i in m.intercepts)


def test_a_reset_starts_the_paravisor_again():
    out, debug = bytearray(), bytearray()
    m = Machine(memory=MEMORY, planes="vsm", policy="ms-vtl2", serial_out=out.extend, debug_out=debug.extend)
    m.restarts = True
    m.load(str(BUILD / "vsm_beneath.elf"), vtl2=str(BUILD / "vsm_paravisor.elf"))
    while m.vcpus[0].group.active or not m.switches:
        m.run(max_insns=1_000)
    m.memory.write(0x200000, bytes.fromhex("b903000040 b801000000 31d2 0f30"))         # WRMSR of the RESET MSR
    m.vcpus[0].plane.set(layout.RIP, 0x200000)
    stop = m.run(max_insns=2_000_000)
    assert (stop.reason, stop.status) == ("exit", 1) and b" 0 failed" in out, stop
    assert debug.count(b"hidden from VTL0") == 2 and m.plane_model.guest_max_vtl == 0


def test_the_guest_says_that_it_needs_one():
    out = bytearray()
    m = Machine(memory=MEMORY, planes="vsm", serial_out=out.extend)
    m.load(str(BUILD / "vsm_beneath.elf"))
    assert m.run(max_insns=2_000_000).status == 38 << 1 | 1 and b"--vtl2" in out


def test_an_image_for_vtl2_needs_three_levels():
    monitor = str(BUILD / "vsm_monitor.elf")
    with pytest.raises(ImageError, match="a policy that ends in -vtl2"):
        Machine(memory=MEMORY, planes="vsm").load(str(BUILD / "hello.elf"), vtl2=monitor)
    m = Machine(memory=MEMORY, planes="vsm", policy="ms-vtl2")
    with pytest.raises(ImageError, match="one image runs first"):
        m.load(str(BUILD / "hello.elf"), vtl1=monitor, vtl2=monitor)
    m.load(str(BUILD / "hello.elf"), vtl2=monitor)
    m.run(max_insns=1)
    assert m.vcpus[0].group.active == 2 and m.plane_model.paravisor == 2
