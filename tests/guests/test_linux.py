"""Debian's kernels, unmodified, with a busybox initial RAM disk: to a shell, and off again."""

import re
from pathlib import Path

import pytest

from emu.clock import SECOND
from emu.digest import digest, registers_digest
from emu.machine import Machine
from emu.planes.vsm import codes
from emu.stop import POWER_OFF
from tests.guests.test_software import fetched
from tools.bench.boot import DEFAULT, SHORT
from tools.initramfs.build import DONE, READY, initramfs

pytestmark = pytest.mark.guests
LIMIT = 4_000_000_000
UNPACKING = 6_000_000_000       # the kernel for all machines is packed by xz, which takes more than its boot
MONITOR = Path(__file__).resolve().parents[2] / "firmware" / "build" / "vsm_monitor.elf"
# What a kernel says when something is wrong. "x2apic: IRQ remapping doesn't support" and the like are no faults.
TROUBLE = re.compile(r"WARNING|BUG|Oops|Call Trace|unchecked MSR|unstable|segfault|[Ff]irmware [Bb]ug|panic|"
                     r"self-test.*fail|alg: .*(fail|differ)|timed out|stuck|lockup|ACPI Error|ACPI BIOS")


def trouble(text: str) -> list[str]:
    """Lines of a log that complain. On Hyper-V, without the partition's promise of an invariant TSC, Linux takes the
    reference TSC instead, and says that it does."""
    return [line for line in text.splitlines() if TROUBLE.search(line) and "ommand line: " not in line
            and "Marking TSC unstable due to running on Hyper-V" not in line]


class Linux:
    """A booting kernel and its console."""

    def __init__(self, tmp_path: Path, append: str, commands: tuple[str, ...] = (), vtl1: str | None = None,
                 kernel: str = "linux-cloud", **options) -> None:
        self.console, self.reports = bytearray(), []
        self.machine = Machine(serial_out=self.console.extend, report=self.reports.append, **options)
        (tmp_path / "initramfs.cpio").write_bytes(initramfs(Path(fetched("busybox")).read_bytes(), commands))
        self.machine.load(fetched(kernel), initrd=str(tmp_path / "initramfs.cpio"), append=append,
                          vtl1=vtl1)

    @property
    def text(self) -> str:
        return self.console.decode("utf-8", "replace")

    def until(self, words: str, step: int = 5_000_000) -> None:
        """Run until the console shows the words."""
        while words not in self.text:
            stop = self.machine.run(max_insns=step)
            assert stop.reason == "max-insns" and stop.icount < LIMIT, f"{stop}\n{self.text[-3000:]}"

    def lines_of_trouble(self) -> list[str]:
        return trouble(self.text)


def test_the_short_command_line_to_an_interactive_shell(tmp_path):
    linux = Linux(tmp_path, SHORT)
    linux.until(READY)
    assert linux.machine.icount < 700_000_000
    linux.machine.feed_serial(b"echo $((6 * 7)) and $(uname -m)\n", more=True)
    linux.until("42 and x86_64")
    assert linux.lines_of_trouble() == []


COMMANDS = ("cat /proc/cpuinfo | grep -c ^processor", "cat /proc/interrupts", "dmesg | wc -l", "ls -l /bin | wc -l",
            "seq 1 2000 | sort -r | md5sum", "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")


@pytest.mark.slow
@pytest.mark.parametrize("vcpus", [1, 4])
@pytest.mark.parametrize("kernel", ["linux-cloud", "linux"])
def test_the_default_configuration_runs_commands_and_powers_off(tmp_path, kernel, vcpus):
    """ACPI, APICs, HPET, PCI and all of the kernel's own crypto self-tests."""
    linux = Linux(tmp_path, DEFAULT, COMMANDS, kernel=kernel, vcpus=vcpus)
    stop = linux.machine.run(max_insns=LIMIT + (UNPACKING if kernel == "linux" else 0))
    assert stop.reason == POWER_OFF, f"{stop}\n{linux.text[-3000:]}"
    assert linux.lines_of_trouble() == []
    after = linux.text.partition(READY)[2]
    assert re.search(rf"^{vcpus}\r?$", after, re.M) and re.search(r"^tsc\r?$", after, re.M)
    assert re.search(r"^2e9c29a3e64ec8303dcda875708e6884  -", after, re.M)
    assert DONE in after and "ACPI: PM: Preparing to enter system sleep state S5" in after
    assert f"smp: Brought up 1 node, {vcpus} CPU" in linux.text


SLEEP = ("echo +2 > /sys/class/rtc/rtc0/wakealarm", "echo mem > /sys/power/state", "echo woke $((6 * 7))", "sleep 1")


@pytest.mark.slow
@pytest.mark.parametrize("vcpus", [1, 4])
def test_it_sleeps_in_s3_until_the_alarm(tmp_path, vcpus):
    linux = Linux(tmp_path, DEFAULT + " cryptomgr.notests no_console_suspend", SLEEP, vcpus=vcpus)
    stop = linux.machine.run(max_insns=LIMIT)
    assert stop.reason == POWER_OFF, f"{stop}\n{linux.text[-3000:]}"
    assert linux.lines_of_trouble() == [] and linux.reports == []
    for words in ("ACPI: PM: Waking up from system sleep state S3", "PM: suspend exit", "woke 42"):
        assert words in linux.text
    assert vcpus == 1 or f"CPU{vcpus - 1} is up" in linux.text.partition("suspend entry")[2]
    assert linux.machine.clock.now > 3 * SECOND


@pytest.mark.slow
def test_with_an_iommu_it_remaps_interrupts(tmp_path):
    linux = Linux(tmp_path, DEFAULT + " cryptomgr.notests intel_iommu=on", ("cat /proc/interrupts", "sleep 1"), vcpus=2,
                  devices=("intel-iommu", "edu"))
    stop = linux.machine.run(max_insns=LIMIT)
    assert stop.reason == POWER_OFF, f"{stop}\n{linux.text[-3000:]}"
    assert linux.lines_of_trouble() == [] and linux.reports == []
    assert "DMAR: Intel(R) Virtualization Technology for Directed I/O" in linux.text
    assert re.search(r"^ +4: +[1-9]\d* +\d+ +IR-IO-APIC", linux.text, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("vcpus", [1, 3])
def test_two_runs_are_the_same(tmp_path, vcpus):
    """Registers every ten million instructions, and all of memory at the end; in one run code is compiled, in the
    other it is interpreted."""
    def trace(engine: str) -> list[str]:
        linux = Linux(tmp_path, DEFAULT + " cryptomgr.notests", vcpus=vcpus, engine=engine)
        seen = []
        for _ in range(50):
            assert linux.machine.run(max_insns=10_000_000).reason == "max-insns"
            seen.append(registers_digest(linux.machine))
        return [*seen, digest(linux.machine), linux.text]
    assert trace("auto") == trace("interp")


HYPERV = ("cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
          "cat /sys/devices/system/clockevents/clockevent*/current_device", "cat /proc/interrupts", "sleep 1")


def assert_hyperv_is_used(linux: Linux, vcpus: int) -> None:
    """Reference TSC, a synthetic timer and hypercalls for IPIs, on each processor; and no MSR is missed."""
    after = linux.text.partition(READY)[2]
    assert "Hypervisor detected: Microsoft Hyper-V" in linux.text
    assert re.search(r"^hyperv_clocksource_tsc_page\r?$", after, re.M)
    assert len(re.findall(r"^Hyper-V clockevent\r?$", after, re.M)) == vcpus

    def counts(name: str) -> list[int]:
        found = re.search(rf"^ *{name}:((?: +\d+){{{vcpus}}})", after, re.M)
        assert found, after
        return [int(count) for count in found[1].split()]
    assert all(counts("HVS")) and not any(counts("LOC"))
    if vcpus > 1:
        assert all(counts("CAL")) and "Hyper-V: Using IPI hypercalls" in linux.text
        assert "Hyper-V: Using hypercall for remote TLB flush" in linux.text
        assert "Hyper-V: Using enlightened APIC" in linux.text
        calls = linux.machine.plane_model.calls
        assert calls.get(codes.SEND_IPI, 0) + calls.get(codes.SEND_IPI_EX, 0) > 0
    assert not [line for line in linux.reports if "Hyper-V" in line or "MSR" in line]


def test_with_hyperv_beneath_it_uses_what_is_offered(tmp_path):
    """The kernel as VTL0."""
    linux = Linux(tmp_path, DEFAULT + " cryptomgr.notests", HYPERV, planes="vsm", vcpus=2)
    stop = linux.machine.run(max_insns=LIMIT)
    assert DONE in linux.text, f"{stop}\n{linux.text[-3000:]}"
    assert linux.lines_of_trouble() == []
    assert_hyperv_is_used(linux, 2)


# What root can do: a probe, which the kernel sets by writing to its own code.
ATTACK = ("sleep 1", "mount -t tracefs t /sys/kernel/tracing",
          "(cd /sys/kernel/tracing; echo p:evil do_sys_openat2 > kprobe_events; echo 1 > events/kprobes/evil/enable)",
          "echo still alive: $((6 * 7))")


@pytest.mark.slow
@pytest.mark.parametrize("vcpus", [1, 4])
def test_a_monitor_in_vtl1_locks_the_kernels_text(tmp_path, vcpus):
    """The kernel knows nothing of it, boots without a complaint, and cannot write to its text any more."""
    debug = bytearray()
    linux = Linux(tmp_path, DEFAULT, HYPERV + ATTACK, vcpus=vcpus, planes="vsm", debug_out=debug.extend,
                  vtl1=str(MONITOR))
    stop = linux.machine.run(max_insns=LIMIT)
    said = debug.decode().splitlines()
    assert DONE in linux.text, f"{stop}\n{linux.text[-3000:]}\n{said}"
    assert_hyperv_is_used(linux, vcpus)
    before, _, after = linux.text.partition("general protection fault")
    assert trouble(before) == [] and "text_poke" in after and "still alive: 42" in after
    assert "hidden from VTL0" in said[0] and sum("MSRs of system calls are locked" in line for line in said) == vcpus
    assert [line for line in said if re.search(r"\d{5} KiB of kernel text .* and the IDT .* locked", line)]
    stopped, = [line for line in said if line.endswith(": stopped")]
    seen, = linux.machine.intercepts
    assert seen["what"] in stopped.replace(" of", "") and seen["resumed"] and stop.reason == POWER_OFF
