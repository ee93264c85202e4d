"""Debugging what VTLs protect from each other: breakpoints on denied accesses, snapshots of the masks."""
import pytest

import emu
from jit import layout
from jit.guards import DENY_READ, DENY_WRITE
from tests.emu.planes.vsm import guest as vsm

PAGE, R, NONE = 0x200000, 1, 0
STORE, LOAD = b"\x48\x89\x00", b"\x48\x8b\x00"     # mov [rax], rax; mov rax, [rax]


@pytest.fixture
def guest(monkeypatch):
    """VTL1 lets VTL0 only read PAGE, and has returned to it."""
    monkeypatch.setattr(vsm, "Machine", emu.Machine)
    g = vsm.Guest()
    g.secure()
    assert g.protect(R, PAGE) == (0, 1)
    g.vtl_return()
    g.m.note_change()
    return g


def test_a_denied_access_ends_the_run(guest):
    m, rip = guest.m, guest.reg(layout.RIP)
    m.dma_write(rip, LOAD + STORE)
    guest.reg(layout.gpr(0), PAGE)
    m.note_change()
    with m.break_violation(plane=0) as found, m.break_violation(plane=1) as other:
        m.step()
        guest.reg(layout.gpr(0), PAGE + 8)
        m.note_change()
        stop = m.run(max_insns=1000)
        assert (found.hits, other.hits) == (1, 0)
    event, = stop.events
    assert (event.kind, event.plane, event.gpa, event.cause, event.rip) == ("violation", 0, PAGE + 8, "write", rip + 3)
    assert m.current.name == "VTL1"                 # which was told, and is about to act


def test_masks_are_part_of_a_snapshot(guest):
    m = guest.m
    plane = m.vcpu[0].plane[0]
    before = m.snapshot()
    assert plane.denied(PAGE) == DENY_WRITE | 4 | 8 and plane.denied(PAGE + 0x1000) == 0
    guest.vtl_call()
    assert guest.protect(NONE, PAGE) == (0, 1)
    assert plane.denied(PAGE) & DENY_READ
    m.restore(before)
    assert not plane.denied(PAGE) & DENY_READ and m.snapshot() == before


def test_masks_reach_another_machine(guest, monkeypatch, tmp_path):
    path = tmp_path / "protected.snapshot"
    saved = guest.m.save(path)
    with emu.Machine(memory=4 << 20, planes="vsm", engine="interp", history=False) as other:
        assert other.restore_file(path) == saved and other.state_hash() == saved.id
        assert other.vcpu[0].plane[0].denied(PAGE) == DENY_WRITE | 4 | 8
