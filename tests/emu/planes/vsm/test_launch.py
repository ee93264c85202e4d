"""A machine whose VTL1 has an image of its own, and runs first."""
from pathlib import Path

import pytest

from emu.load.model import ImageError
from emu.machine import Machine
from jit import layout

BUILD = Path(__file__).resolve().parents[4] / "firmware" / "build"
MEMORY = 64 << 20


def launched(guest="hello", engine="auto", **options):
    out, debug = bytearray(), bytearray()
    m = Machine(memory=MEMORY, planes="vsm", engine=engine, serial_out=out.extend, debug_out=debug.extend, **options)
    m.load(str(BUILD / f"{guest}.elf"), vtl1=str(BUILD / "vsm_monitor.elf"))
    return m, out, debug


@pytest.mark.parametrize("engine", ["auto", "interp"])
def test_vtl1_runs_first_and_vtl0_starts_as_without_it(engine):
    alone = Machine(memory=MEMORY, engine=engine)
    alone.load(str(BUILD / "hello.elf"))
    m, out, debug = launched(engine=engine)
    vcpu = m.vcpus[0]
    assert m.run(max_insns=1).reason == "max-insns" and vcpu.group.active == 1
    while vcpu.group.active:
        m.run(max_insns=1)
    start, other = vcpu.plane, alone.vcpus[0].plane
    assert start.get(layout.RIP) == other.get(layout.RIP) and start.get(layout.CR0) == other.get(layout.CR0)
    for n in range(16):
        assert start.get(layout.gpr(n)) == other.get(layout.gpr(n)), n
    stop = m.run(max_insns=10_000_000)
    assert (stop.reason, stop.status) == ("exit", 1) and out
    assert debug.startswith(b"monitor: VTL1 has 0x3e00000-0x3ffffff, hidden from VTL0")
    assert m.switches[0]["cause"] == "start" and m.switches[1]["cause"] == "return"


def test_vtl0_cannot_reach_vtl1s_memory():
    m, _, debug = launched()
    m.run(max_insns=20_000)
    assert m.vcpus[0].group.active == 0
    m.memory.write(0x200000, bytes.fromhex("a1 00 00 e0 03"))           # mov eax, [3e00000h]
    plane = m.vcpus[0].plane
    plane.set(layout.RIP, 0x200000)
    m.run(max_insns=5_000)
    assert b"read of 0x3e00000" in debug.split(b"VP 0: ")[1]


def test_only_a_machine_that_has_vtl1_takes_such_an_image():
    for planes in ("none", "kvm"):
        try:
            m = Machine(memory=MEMORY, planes=planes)
        except ValueError:
            continue
        with pytest.raises(ImageError, match="only a machine with planes 'vsm' has a VTL1"):
            m.load(str(BUILD / "hello.elf"), vtl1=str(BUILD / "vsm_monitor.elf"))


def test_other_processors_have_vtl0_alone_and_can_be_started():
    m, _, _ = launched("smp", vcpus=2)
    assert [vp.enabled for vp in m.plane_model.vps] == [3, 1]
    stop = m.run(max_insns=50_000_000)
    assert (stop.reason, stop.status) == ("exit", 1)
