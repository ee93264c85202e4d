"""Policies that users write: what is accepted, what is refused and how, and what the compiled functions do."""
from pathlib import Path

import pytest

from emu.machine import Machine
from emu.planes.script import load
from jit import group_layout as g
from tests.emu.planes.kvm.guest import HLT, NOP, RUN, VMCALL, Kvm

TOP = Path(__file__).resolve().parents[3]
DIRECT = TOP / "docs" / "examples" / "direct.py"
THREE_LEVELS = str(TOP / "firmware" / "build" / "three_levels.elf")
CHOOSE = "def choose(active, present, runnable, events):\n    "
REQUEST = "def request(active, target, present, runnable, events):\n    "
STAYS = CHOOSE + "return active\n" + REQUEST + "return target\n"
IF = 1 << 9


@pytest.fixture
def policy(tmp_path):
    def write(text):
        path = tmp_path / "p.py"
        path.write_text(text)
        return str(path)
    return write


@pytest.mark.parametrize("text, why", (
    ("def choose(:", "line 1: invalid syntax"),
    (CHOOSE + "return active", r"no function request\(active, target"),
    ("def choose(a, b):\n    return a\n" + REQUEST + "return target", r"choose\(a, b\) must be choose\(active, "),
    ("choose = 3\n" + REQUEST + "return target", "no function choose"),
    (STAYS + "FILTER = 'all'", "FILTER is 'all', not one of injectable"),
    (STAYS + "MARKER = 16", "MARKER is 16, not a plane"),
    (CHOOSE + "return 7\n" + REQUEST + "return target", r"choose\(active=0, present=0b1.*gave 7.*not present"),
    (CHOOSE + "return active\n" + REQUEST + "return target + 1", r"request\(active=0, target=0.*gave 1"),
    (CHOOSE + "return (active + 1) % 3 if present == 7 else active\n" + REQUEST + "return target",
     r"gets nowhere with present=0b111.*0 -> 1 -> 2 -> 0"),
))
def test_nonsense_is_refused_in_one_line(policy, text, why):
    path = policy(text)
    with pytest.raises(ValueError, match=why) as failure:
        load(path)
    assert "\n" not in str(failure.value) and path in str(failure.value)


def test_the_documented_example_is_short_and_in_the_documentation():
    text = DIRECT.read_text()
    assert len(text.splitlines()) < 40
    page = (TOP / "docs" / "planes.md").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in text.splitlines()) in page


@pytest.mark.parametrize("engine", ("interp", "auto"))
def test_the_example_brings_interrupts_to_their_planes(engine):
    m = Machine(memory=64 << 20, planes="kvm", policy=str(DIRECT), engine=engine)
    m.load(THREE_LEVELS)
    assert m.run(max_insns=10_000_000).status == 1
    paths = {(s["from"], s["to"]) for s in m.switches if s["cause"] == "interrupt"}
    assert {(2, 1), (1, 2), (1, 0), (2, 0)} <= paths


def guest(path, planes=3):
    return Kvm(planes=planes, policy_object=load(path))


def test_interrupts_of_the_active_plane_stay_with_it():
    g = guest(DIRECT)
    for n in range(3):
        g.at(n, NOP * 4, rflags=IF | 2)
    g.irq(2)
    g.steps(0)
    g.irq(0)
    assert g.active == 2
    g.steps(4)                                              # the handler of plane 2, and then plane 0's
    assert g.path() == [(0, 2, "interrupt"), (2, 0, "interrupt")]


def test_a_request_may_be_refused(policy):
    g = guest(policy(CHOOSE + "return active\n" + REQUEST + "return target if target < 2 else -1"))
    g.at(0, VMCALL + NOP + VMCALL, rax=RUN, rbx=2)
    g.steps(1)
    assert g.active == 0 and g.reg("rax") == (1 << 64) - 1
    g.at(0, VMCALL, rax=RUN, rbx=1)
    g.steps(1)
    assert g.path() == [(0, 1, "run")]


@pytest.mark.parametrize("text, why", (
    (CHOOSE + "return 9 if runnable == 15 else active\n" + REQUEST + "return target", "choose gave 9"),
    (CHOOSE + "return active\n" + REQUEST + "return 9 if target == 3 else target", "request gave 9"),
    (CHOOSE + "return active ^ 3 if runnable & 8 else active\n" + REQUEST + "return target",
     "changed planes 64 times without one instruction"),
))
def test_nonsense_in_a_state_that_was_not_checked_ends_the_run(policy, text, why):
    """More planes than the check looks at."""
    kvm = guest(policy(text), planes=4)
    for n in range(4):
        kvm.at(n, NOP * 4)
    kvm.at(0, VMCALL + HLT, rax=RUN, rbx=3)
    if "request" not in why:
        kvm.vcpu.group.set(g.RUNNABLE, 0b1111)
    kvm.steps(3)
    stop = kvm.m.stopping
    assert (stop.reason, stop.status) == ("policy", 126) and why in stop.message
