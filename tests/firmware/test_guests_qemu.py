"""Every guest that QEMU's TCG can run passes there; vsm_call says what is missing."""

import shutil
import subprocess

import pytest

from tests.firmware.plane_guests import BUILD, PLANE_GUESTS

PASS, SKIP = 1, 77  # (code << 1) | 1

pytestmark = pytest.mark.qemu

GUESTS = (
    "hello hello32 hello16 hello16p exceptions64 exceptions32 exceptions16 "
    "paging64 paging32 paging_pae timer smc integer"
).split()


def _run(guest: str, cpu: str, *options: str) -> tuple[int, str]:
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("qemu-system-x86_64 not found: apt-get install qemu-system-x86")
    command = [qemu, "-accel", "tcg", "-cpu", cpu, "-kernel", str(BUILD / f"{guest}.elf"), "-serial", "stdio"]
    command += [*options, "-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("cpu", ["max", "qemu64"])
@pytest.mark.parametrize("guest", GUESTS)
def test_guest_passes(guest: str, cpu: str) -> None:
    status, output = _run(guest, cpu)
    assert status == PASS, output
    assert f"{guest}: " in output
    assert ", 0 failed" in output


def test_several_processors() -> None:
    status, output = _run("smp", "max", "-smp", "3")
    assert status == PASS and ", 0 failed" in output, output
    assert _run("smp", "max")[0] == SKIP


@pytest.mark.parametrize("guest", ("vsm_call", "vsm_switch", "kvm_switch"))
def test_guests_name_what_is_missing(guest: str) -> None:
    status, output = _run(guest, "max")
    assert status == SKIP, output
    assert f"{guest}: skipped: " in output


def test_guests_are_all_listed() -> None:
    assert {path.stem for path in BUILD.glob("*.elf")} - PLANE_GUESTS == {*GUESTS, "smp"}
