"""The command line: what each command does, how lines are completed, and that nothing typed breaks it."""
import random

import pytest

from tests.tools.debug.conftest import ENTRY
from tools.debug import commands


def do(front, *lines):
    for line in lines:
        commands.execute(front, line)
    return front


def test_moving(front):
    do(front, "step 3")
    assert front.session.machine.icount == ENTRY + 3
    do(front, "rs 2")
    assert front.session.machine.icount == ENTRY + 1
    do(front, "goto +10", "goto -1")
    assert front.session.machine.icount == ENTRY + 10
    do(front, f"goto {ENTRY:,}")
    assert front.session.machine.icount == ENTRY and not front.errors
    do(front, "until vtl1_first")
    assert front.session.machine.current.rip == front.session.machine.address_of("vtl1_first")
    do(front, "ps")
    assert front.session.machine.icount == ENTRY and front.session.stage == 1


def test_step_goes_through_the_stages_first(front):
    do(front, f"goto {ENTRY - 1}", "step")
    assert front.session.machine.icount == ENTRY and front.session.stage == 1
    do(front, *["next"] * 4)
    assert front.session.machine.icount == ENTRY and front.session.stage == 5
    do(front, "step")
    assert front.session.machine.icount == ENTRY + 1 and front.session.stage == 0
    do(front, "reverse-step")
    assert front.session.machine.icount == ENTRY and front.session.stage == 5
    do(front, *["rs"] * 4)
    assert front.session.stage == 1
    do(front, "rs")
    assert front.session.machine.icount == ENTRY - 1 and front.session.stage == 0
    do(front, "stages off", "step")
    assert front.session.machine.icount == ENTRY and front.session.stage == 0


def test_breakpoints(front):
    do(front, "break vtl1_first plane VTL1 vcpu 0 ignore 0 if rsp > 16", "tbreak *vtl1_start+8", "watch u64(rsp) 4",
       "watch rbx", "rwatch gpa 0x1000", "awatch u64(rsp)+8 if value == 3", "catch switch plane 1",
       "catch msr 0x40000001", "catch violation")
    assert not front.errors
    found = front.session.breakpoints
    assert [(p.plane, p.vcpu) for p in found][:2] == [(1, 0), (None, None)] and found[0].condition.text == "rsp > 16"
    assert [p.temporary for p in found] == [False, True] + [False] * 7
    assert found[-3].plane == 1 and found[-2].what == "rw of MSR 0x40000001"
    do(front, f"disable {found[0].number}")
    assert not found[0].enabled
    do(front, "enable")
    assert found[0].enabled
    do(front, f"delete {found[1].number} {found[2].number}", "continue")
    assert len(front.session.breakpoints) == 7 and front.session.last.events[0].breakpoint is found[0]
    do(front, "delete")
    assert not front.session.breakpoints and not front.errors


def test_looking(front):
    session, machine = front.session, front.session.machine
    do(front, "mem rsp+8", "walk vtl1_first", "list main", "plane VTL0")
    assert session.memory_at == machine.current.regs.rsp + 8 and not session.memory_physical
    assert session.walk_at == machine.address_of("vtl1_first") and front.panels == ["memory", "walk", "code"]
    assert session.plane.name == "VTL0"
    do(front, "plane 1", "x gpa 0x1000", "print rip - vtl1_start", "vcpu 0", "panel apic", "theme light", "help")
    assert session.memory_physical and session.memory_at == 0x1000 and front.said[-1] == "rip - vtl1_start = 0x0 = 0"
    assert front.panels[-1] == "apic" and front.themes == ["light"] and front.helped and not front.errors


def test_who_wrote_memory(front):
    machine = front.session.machine
    machine.step()                      # movq %rsp, vtl1_sp_seen
    do(front, "who vtl1_sp_seen")
    assert front.said == [f"vtl1_sp_seen: written last by instruction {ENTRY:,}, VTL1 of vCPU 0, at vtl1_start"]
    assert machine.icount == ENTRY + 1
    do(front, "last vtl1_sp_seen")
    assert machine.icount == ENTRY


def test_changing_by_hand(front):
    machine = front.session.machine
    before = machine.current.regs.rbx, machine.current.memory.integer(machine.current.regs.rsp)
    do(front, "set rbx = 0x1234", "set u16(rsp) = 0x10001", "set al = 0x180")
    assert not front.errors and machine.current.regs.rbx == 0x1234 and machine.current.regs.al == 0x80
    assert machine.current.memory.integer(machine.current.regs.rsp, 2) == 1
    do(front, f"set rbx = {before[0]}", f"set u64(rsp) = {before[1]}", "set al = 0")


def test_snapshots(front, tmp_path):
    file = tmp_path / "one.snapshot"
    do(front, f"snapshot {file}")
    assert file.exists() and front.said[-1].endswith(f", in {file}")
    state = front.session.machine.state_hash()
    do(front, "step 50", f"restore {file}")
    assert front.session.machine.state_hash() == state and not front.errors


@pytest.mark.parametrize("line, why", [
    ('frobnicate', 'no such command'), ('re', 'could be restore, reverse-continue'), ('goto', 'goto'),
    ('goto x', 'goto: '), ('goto -999999999999', 'before the start'), ('break nowhere', "'nowhere'"),
    ('break main plane VMPL9', "'VMPL9' is no plane"), ('break main if rax +', 'not an expression'),
    ('break main vcpu 7', 'there are 1'), ('watch main 0', 'size 0'), ('rwatch rax', 'is a register'),
    ('catch nothing', 'one of switch'), ('catch switch 3', 'one of'), ('delete 9999', '9999'),
    ('mem u64(0xffff800000000000)', 'not mapped'), ('print 1//0', 'zero'), ('set rax', 'usage: set'),
    ('set 5 = 3', 'set REGISTER'), ('restore /nowhere/x', 'No such file'), ('panel x', 'one of'),
    ('step 0', '1 or more'), ('plane 9', 'no plane 9'), ('vcpu 9', 'there are 1'), ('stages maybe', 'usage'),
    ('catch vector 999', '0 to 255'), ('screenshot', 'usage'), ("print __import__('os')", 'only u8'),
    ("print " + "(" * 500, 'not an expression'),
])
def test_what_is_wrong_is_said_in_one_line(front, line, why):
    try:
        do(front, line)
    except (ValueError, OSError) as error:      # in a job, where the application says it
        front.errors.append(str(error))
    text, = front.errors or ("",)
    if line == "screenshot":                    # the stand-in writes nothing
        return
    assert why in text and "\n" not in text


def test_completion(front):
    assert commands.complete(front, "rev") == [
        "reverse-continue", "reverse-finish", "reverse-next", "reverse-nexti", "reverse-step", "reverse-stepi"]
    assert commands.complete(front, "break vtl1_fi") == ["vtl1_first"]
    assert commands.complete(front, "break main pla") == ["plane"]
    assert commands.complete(front, "plane V") == ["VTL0", "VTL1"]
    assert "kernel_gs_base" in commands.complete(front, "set ker")
    assert commands.complete(front, "restore firmware/build/vsm_c") == ["firmware/build/vsm_call.elf"]
    assert commands.complete(front, "nonsense x") == [] and commands.complete(front, "restore /no/such/x") == []
    assert commands.complete(front, "restore \0/x") == []


def test_nonsense_is_survived(front):
    draw = random.Random(7)
    words = [*commands.table(), "main", "rsp", "plane", "if", "u64(", ")", "-", "0x", "\x00", "é", "]", "VTL1",
             "9" * 30]
    ends_nowhere = ("quit", "restore", "snapshot", "screenshot", "c", "continue", "run", "finish", "fin", "up", "n",
                    "next", "ni", "nexti", "until", "advance")
    words = [word for word in words if word not in ends_nowhere]
    for _ in range(400):
        line = " ".join(draw.choice(words) for _ in range(draw.randint(1, 4)))
        try:
            do(front, line)
        except (ValueError, LookupError, OSError, OverflowError):       # in a job
            pass
        commands.complete(front, line)
        for point in front.session.breakpoints:
            point.remove()


def test_every_command_says_what_it_does():
    for command in commands.table().values():
        assert command.help and command.usage.split()[0] == command.name
