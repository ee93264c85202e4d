"""The guests with KVM planes under every policy; outcomes.json has what each comes to (`strata planes outcomes`)."""
import json
from pathlib import Path

import pytest

import emu
from emu.machine import Machine

BUILD = Path(__file__).resolve().parents[4] / "firmware" / "build"
OUTCOMES = json.loads((Path(__file__).parent / "outcomes.json").read_text())
CASES = [(guest, policy) for guest, policies in OUTCOMES.items() for policy in policies]


def run(guest, policy, engine="interp", **options):
    out, reports = bytearray(), []
    m = Machine(memory=64 << 20, planes="kvm", policy=policy, engine=engine, serial_out=out.extend,
                report=reports.append, **options)
    m.load(str(BUILD / f"{guest}.elf"))
    return m, m.run(max_insns=30_000_000), out.decode(), reports


@pytest.mark.parametrize("engine", ("interp", "auto"))
@pytest.mark.parametrize("guest, policy", CASES)
def test_outcome(guest, policy, engine):
    m, stop, out, reports = run(guest, policy, engine)
    expected = OUTCOMES[guest][policy]
    assert (stop.reason, stop.status) == ("exit", expected["status"]), out + stop.message
    assert " 0 failed" in out or expected["status"] == 77
    paths = {f"{s['from']} -> {s['to']} {s['cause']}" for s in m.switches}
    assert sorted(paths) == expected["switches"] and not reports


def test_userspace_can_schedule_as_hyper_v_does():
    """The primitive expresses the preset: the same switches in the same order, at another cost."""
    paths, ticks = [], []
    for policy in ("USER", "HIGHEST_RUNNABLE"):
        m, _, out, _ = run("ping_pong", policy)
        paths.append([(s["from"], s["to"], s["cause"], s["rip_from"], s["rip_to"]) for s in m.switches])
        ticks.append(int(out.split(":")[1].split()[0]))
    assert paths[0] == paths[1] and ticks[0] > 2 * ticks[1]


@pytest.mark.parametrize("policy", ("LOWEST_RUNNABLE+fpu", "HIGHEST_RUNNABLE+fpu", "USER+fpu"))
def test_shared_vector_state(policy):
    _, stop, out, _ = run("fpu_probe", policy)
    assert stop.status == 1 and "shared" in out, out


def test_shared_debug_registers():
    _, stop, out, _ = run("ping_pong", "HIGHEST_RUNNABLE+dr")
    assert stop.status == 1, out


def test_guests_say_what_they_lack():
    _, stop, out, _ = run("ping_pong", "HIGHEST_RUNNABLE+gpr")
    assert stop.status == 77 and "registers of their own" in out
    m = Machine(memory=64 << 20, serial_out=(text := bytearray()).extend)
    m.load(str(BUILD / "ping_pong.elf"))
    assert m.run(max_insns=1_000_000).status == 77 and b"--planes kvm" in text


@pytest.mark.parametrize("policy", ("HIGHEST_RUNNABLE", "MPP(1)", "USER"))
def test_a_snapshot_in_the_storm_goes_on_the_same(policy):
    m = emu.Machine(memory=8 << 20, planes="kvm", policy=policy, history=False)
    m.load(str(BUILD / "three_levels.elf"))
    start = m.snapshot()
    m.run(max_insns=60_000)
    then = m.snapshot()
    m.run(max_insns=20_000)
    later = m.snapshot()
    m.restore(then)
    m.run(max_insns=20_000)
    assert m.snapshot() == later and len(m.vcpu[0].plane) == 3
    m.restore(start)
    assert len(m.vcpu[0].plane) == 1
    m.run(max_insns=80_000)
    assert m.snapshot() == later
