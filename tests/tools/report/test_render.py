"""The report at the width of a narrow and of a wide terminal."""
import io

import pytest

from tests.fakes.machine import vsm_calls
from tools.cli.result import plane_name, si
from tools.report.render import print_report

RESULT = {"image": "firmware/build/vsm_call.elf", "status": 1, "reason": "exit", "message": "", "instructions": 136_000,
          "seconds": 0.0125, "engine": "auto", "planes": "vsm", "policy": None, "vcpus": 1, "memory": 256 << 20,
          "cpu": "max", "switches": vsm_calls(1000)}


def text(width, **changes):
    out = io.StringIO()
    print_report(RESULT | changes, out, width)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_wider_than_the_terminal_or_cut(width):
    lines = text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("width", [80, 200])
def test_it_says_what_ran_and_what_switched(width):
    shown = text(width)
    for words in ("firmware/build/vsm_call.elf", "136,000 instructions in 0.013 s (10.9 M a second)", "exit, status 1",
                  "the last 12 of 2,000", "VTL0 -> VTL1", "HvCallVtlReturn", "1000be", "ffff800000201000",
                  "RIP RSP RFLAGS CR3"):
        assert words in shown


def test_timeline_has_a_line_a_switch_where_there_is_room():
    row = next(line.split() for line in text(200).splitlines() if line.strip().startswith("135,869"))
    assert row == ["135,869", "0", "VTL0", "->", "VTL1", "HvCallVtlCall", "1000be", "ffff800000201000"]


def test_narrow_timeline_stacks_the_addresses():
    lines = text(80).splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip().startswith("135,869"))
    assert lines[at].split()[-1] == "1000be" and lines[at + 1].split() == ["ffff800000201000"]


def test_latency_table_has_the_numbers():
    (row,) = [line.split() for line in text(80).splitlines() if "HvCallVtlCall" in line and " 91 " in line]
    assert row == ["VTL0", "->", "VTL1", "HvCallVtlCall", "1,000", "90", "91", "92", "92"]


def test_host_time_is_a_column_only_if_known():
    assert "host ns" not in text(80)
    timed = [switch | {"host_ns": 151.0} for switch in vsm_calls(3)]
    assert "host ns" in text(80, switches=timed) and "151" in text(80, switches=timed)


def test_without_switches():
    assert "No plane switches." in text(80, switches=[])
    assert "switch" not in text(80, switches=[], planes="none")


def test_a_crash_says_why_and_guest_text_is_not_markup():
    shown = text(80, reason="triple-fault", status=125, message="[bold]triple[/] fault at VTL1, RIP 0x1000")
    assert "triple-fault, status 125" in shown and "[bold]triple[/] fault at VTL1" in shown


def test_no_time_is_no_rate():
    assert "a second" not in text(80, seconds=0.0)


@pytest.mark.parametrize("design, plane, name", [("vsm", 1, "VTL1"), ("snp", 3, "VMPL3"), ("kvm", 2, "plane 2"),
                                                 ("vsm", "VTL2", "VTL2")])
def test_plane_names(design, plane, name):
    assert plane_name(design, plane) == name


@pytest.mark.parametrize("number, shown", [(0, "0"), (999, "999"), (1000, "1 k"), (48_210, "48.2 k"), (999_600, "1 M"),
                                           (1.75e9, "1.75 G"), (2e15, "2e+03 T")])
def test_numbers_for_people(number, shown):
    assert si(number) == shown


INTERCEPT = {"icount": 50_075, "vcpu": 0, "plane": 0, "to": 1, "kind": "memory", "what": "write 0x101000",
             "rip": 0x1023C8, "instruction": "mov [rax],rdx", "entered": 50_075, "cause": "interrupt",
             "resumed": 52_188, "rip_after": 0x1023CB}


def test_intercepts_are_shown_from_the_instruction_to_where_it_goes_on():
    shown = text(200, intercepts=[INTERCEPT, INTERCEPT | {"resumed": None, "rip_after": None}])
    for words in ("Intercepts, all of them", "VTL0 -> VTL1", "memory: write 0x101000", "1023c8: mov [rax],rdx",
                  "1023cb", "not yet"):
        assert words in shown
    assert "Intercepts" not in text(200)
    assert max(map(len, text(80, intercepts=[INTERCEPT]).splitlines())) <= 80
