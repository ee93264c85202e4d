"""The guests with several VTLs, one theme each, from start to end."""
from pathlib import Path

import pytest

from emu.machine import Machine

BUILD = Path(__file__).resolve().parents[4] / "firmware" / "build"
GUESTS = {"vsm_protect": {}, "vsm_ipi": {"vcpus": 2}, "vsm_vina": {}, "vsm_smp": {"vcpus": 4}, "vsm_timer": {},
          "vsm_three": {"policy": "ms-vtl2"}, "vsm_malformed": {}, "vsm_lockdown": {}, "vsm_switch": {}}


def run(name, engine="auto", **options):
    out, reports = bytearray(), []
    m = Machine(memory=64 << 20, planes="vsm", engine=engine, serial_out=out.extend, report=reports.append, **options)
    m.load(str(BUILD / f"{name}.elf"))
    stop = m.run(max_insns=100_000_000)
    return stop, out.decode(), reports, m


@pytest.mark.parametrize("engine", ["auto", "interp"])
@pytest.mark.parametrize("name", GUESTS)
def test_guest(name, engine):
    stop, out, reports, _ = run(name, engine, **GUESTS[name])
    assert (stop.reason, stop.status) == ("exit", 1), out + stop.message
    assert " 0 failed" in out
    assert name == "vsm_malformed" or not reports


def test_the_monitor_names_each_attack():
    _, out, _, m = run("vsm_lockdown")
    attacks = [line for line in out.splitlines() if line.startswith("attack: ")]
    shown = [line for line in out.splitlines() if line.endswith(": stopped")]
    assert len(attacks) == len(shown) == m.plane_model.intercepts.delivered == 9


def test_a_guest_says_what_it_lacks():
    stop, out, _, _ = run("vsm_three")
    assert stop.status == 38 << 1 | 1 and "ms-vtl2" in out


def test_an_intercept_is_followed_from_its_instruction_to_where_vtl0_goes_on():
    *_, m = run("vsm_protect")
    skipped, failed, completed = m.intercepts[:3]
    assert skipped["kind"] == "memory" and skipped["what"].startswith("read 0x") and skipped["to"] == 1
    assert 0 < skipped["rip_after"] - skipped["rip"] <= 7 and skipped["instruction"].startswith("mov ")
    assert failed["rip_after"] == failed["rip"] and completed["rip_after"] == completed["rip"]
    assert all(i["icount"] <= i["entered"] < i["resumed"] and i["cause"] == "interrupt" for i in m.intercepts)
    assert [i["what"].split()[0] for i in m.intercepts] == ["read", "read", "read", "write", "execute"]
