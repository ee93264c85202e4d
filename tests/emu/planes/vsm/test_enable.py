"""EnablePartitionVtl and EnableVpVtl; sN: number in the VSM scenario list."""
import struct

import pytest

from jit import layout
from tests.emu.planes.vsm.guest import CODE, VMCALL, Guest, initial_context

PARTITION_STATUS, VP_STATUS = 0xD0004, 0xD0003
DIALECTS = pytest.mark.parametrize("dialect", ["ms", "kut"])


def status(g, name):
    answer, (value,) = g.get(name)
    assert answer == (0, 1)
    return value


def test_s22_status_registers_at_boot():
    g = Guest()
    assert status(g, PARTITION_STATUS) == 0x00010001
    assert status(g, VP_STATUS) == 0x00010000


def test_s36_enabling_for_the_partition_changes_no_vp():
    g = Guest()
    assert g.enable_partition() == 0
    assert status(g, PARTITION_STATUS) == 0x00010003
    assert status(g, VP_STATUS) == 0x00010000


@pytest.mark.parametrize("dialect, again", [("ms", 0x51), ("kut", 0x5)])
def test_s37_enabling_twice_or_a_vtl_that_cannot_be(dialect, again):
    g = Guest(dialect)
    assert g.enable_partition(vtl=0) == 0x5
    assert g.enable_partition(vtl=2) == 0x5
    g.enable_partition()
    assert g.enable_partition() == again


def test_s38_mbec_where_capabilities_do_not_offer_it():
    g = Guest("kut")
    assert g.get(0xD0006)[1][0] & 0x1FFFE == 0
    assert g.enable_partition(flags=1) == 0x5
    assert Guest().enable_partition(flags=2) == 0x5         # supervisor shadow stacks


def test_enabling_needs_the_own_partition():
    g = Guest()
    assert g.enable_partition(partition=42) == 0xD
    assert g.enable_vp(partition=42) == 0xD


@pytest.mark.parametrize("dialect, expected", [("ms", 0x51), ("kut", 0x5)])
def test_s39_a_vp_cannot_enable_what_the_partition_has_not(dialect, expected):
    assert Guest(dialect).enable_vp() == expected


def test_s40_enabling_on_the_own_vp():
    g = Guest()
    g.enable_partition()
    after = g.reg(layout.RIP) + len(VMCALL)
    assert g.enable_vp() == 0
    assert g.vtl == 0 and g.reg(layout.RIP) == after and g.runnable == 1
    assert status(g, VP_STATUS) == 0x00030000


@DIALECTS
def test_s41_once_vtl1_runs_somewhere_vtl0_cannot_enable_it(dialect):
    g = Guest(dialect, vcpus=2)
    g.enable_partition()
    g.enable_vp()
    g.use(1)
    assert g.enable_vp() == 0x6
    g.use(0)
    assert g.enable_vp(vp=1) == 0x6


def test_s42_vtl1_enables_itself_on_another_vp():
    g = Guest(vcpus=2)
    g.enter_vtl1()
    assert g.enable_vp(vp=1) == 0
    g.use(1)
    assert g.vtl == 0 and g.reg(layout.RIP) == CODE
    assert status(g, VP_STATUS) == 0x00030000


@pytest.mark.parametrize("dialect, by_vtl1, by_vtl0", [("ms", 0x86, 0x6), ("kut", 0x5, 0x5)])
def test_s43_repeating_it(dialect, by_vtl1, by_vtl0):
    g = Guest(dialect)
    g.enter_vtl1()
    assert g.enable_vp() == by_vtl1
    assert g.enable_vp(vtl=0) == 0x5
    assert g.enable_vp(vp=0xFFFFFFFF) == 0xE
    g.vtl_return()
    assert g.enable_vp() == by_vtl0


def test_s44_unusable_data_segments_are_accepted():
    g = Guest()
    g.enable_partition()
    none = bytes(16)
    initial = initial_context(1, data=none, ldtr=none, cs=struct.pack("<QIHH", 0, 0, 8, 0x309B),
                              ss=struct.pack("<QIHH", 0, 0, 0x10, 0x1093))
    assert g.enable_vp(initial=initial) == 0
    g.vtl_call()
    assert g.vtl == 1 and g.reg(layout.MODE) & 3 == layout.MODE_64


@pytest.mark.parametrize("changes", [
    {"cr0": 0x80000010}, {"cr0": 0x11}, {"cr0": 0xA0000011}, {"cr0": 0x180000011}, {"cr4": 0}, {"cr4": 1 << 31 | 0x20},
    {"efer": 0x502}, {"rip": 1 << 47}, {"pat": 2}, {"rflags": 1 << 17 | 2}, {"cr3": 1 << 50},
    {"cs": struct.pack("<QIHH", 0, 0xFFFFFFFF, 8, 0xE09B)}, {"cs": bytes(16)},
])
def test_s45_impossible_contexts_are_refused(changes):
    g = Guest()
    g.enable_partition()
    assert g.enable_vp(initial=initial_context(1, **changes)) == 0x50
    assert g.vp.enabled == 1


def test_the_contexts_lma_is_worked_out():
    g = Guest()
    g.enable_partition()
    g.enable_vp(initial=initial_context(1, efer=0x100))
    assert g.vcpu.planes[1].get(layout.EFER) == 0x500


def test_registers_outside_the_context_start_at_power_on_values():
    g = Guest()
    g.enter_vtl1()
    assert g.reg(layout.DR7) == 0x400 and g.reg(layout.DR6) == 0xFFFF0FF0
    assert all(g.reg(field) == 0 for field in (layout.STAR, layout.LSTAR, layout.SYSENTER_EIP, layout.TSC_AUX))


def test_s76_a_vp_with_vtl1_ignores_init_and_startup_from_vtl0():
    g = Guest(vcpus=2)
    g.enter_vtl1()
    g.enable_vp(vp=1)
    before = g.m.vcpus[1].planes[0].get(layout.RIP)
    for kind in ("init", "sipi"):
        g.m.pc.hooks.signal(1, kind, 8)
    assert g.m.vcpus[1].planes[0].get(layout.ACTIVITY) == 0
    assert g.m.vcpus[1].planes[0].get(layout.RIP) == before


def test_deny_lower_vtl_startup_holds_on_other_vps_too():
    g = Guest(vcpus=2)
    g.enter_vtl1()
    assert g.set((0xD0007, 0x7E)) == (0, 1)
    g.m.pc.hooks.signal(1, "init", 0)
    assert g.m.vcpus[1].plane.get(layout.ACTIVITY) == 0
