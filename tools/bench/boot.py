"""`strata bench boot`: Debian's cloud kernel from start to shell, in Strata and in QEMU TCG, in the same run."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tools.cli.options import Parser, vcpus
from tools.initramfs.build import READY, initramfs

# PIT, 8259 and UART alone: what a kernel does when it is told that there is nothing else.
SHORT = ("console=ttyS0 nokaslr panic=-1 cryptomgr.notests mitigations=off tsc=reliable lpj=4000000 no_timer_check "
         "audit=0 nosmp nolapic acpi=off pci=off")
DEFAULT = "console=ttyS0 panic=-1"
CONFIGURATIONS = {"short": SHORT, "default": DEFAULT}
PROGRAM = "qemu-system-x86_64"
TIME_LIMIT = 900
FAILED, BAD_INPUT = 125, 126

EPILOG = """\
Time is from the start of the process until init has mounted its file systems and is about to start a shell; the best of
the runs counts. The first run ever also compiles what later ones find in the code cache: give --runs 2 or more.

examples:
  strata bench boot
  strata bench boot --configuration default --vcpus 4 --runs 1
  strata bench boot --engine interp --vs none --json boot.json
"""


class Boot(NamedTuple):
    """One boot: seconds, and the instructions retired where the emulator counts them."""

    seconds: float
    instructions: int | None


def parser() -> Parser:
    """The parser of `strata bench boot`."""
    p = Parser("strata bench boot", "Boot Debian's cloud kernel to a shell, beside QEMU TCG.", EPILOG)
    p.add_argument("--engine", action="append", choices=("interp", "blocks", "auto"),
                   help="measure this engine; may be given again (default: auto)")
    p.add_argument("--configuration", choices=tuple(CONFIGURATIONS), default="short",
                   help="short: timers, UART and nothing else; default: ACPI, APICs, self-tests (default: short)")
    p.add_argument("--vcpus", type=vcpus, default=1, metavar="N", help="virtual CPUs (default: 1)")
    p.add_argument("--runs", type=int, choices=range(1, 11), default=2, metavar="N",
                   help="boots of each, 1 to 10 (default: 2)")
    p.add_argument("--vs", choices=("qemu", "none"), default="qemu", help="what to compare with (default: qemu)")
    p.add_argument("--json", metavar="F", help="write the results to the file F")
    return p


def say(line: str) -> None:
    """One line of Strata's own, on standard error."""
    print(f"strata: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure and report; 0, 125 if Strata did not get to the shell, 126 if something to run is missing."""
    from tools.fetch import find
    args = parser().parse_args(argv)
    if args.json and not Path(args.json).absolute().parent.is_dir():
        parser().error(f"--json {args.json}: no such directory")
    kernel, busybox = find("linux-cloud"), find("busybox")
    if kernel is None or busybox is None:
        say("no kernel to boot: run `strata fetch linux-cloud busybox` first")
        return BAD_INPUT
    with tempfile.TemporaryDirectory() as directory:
        initrd = os.path.join(directory, "initramfs.cpio")
        Path(initrd).write_bytes(initramfs(busybox.read_bytes()))
        return _measure(args, str(kernel), initrd)


def _measure(args: argparse.Namespace, kernel: str, initrd: str) -> int:
    append = CONFIGURATIONS[args.configuration]
    peers: dict[str, float] = {}
    if args.vs == "qemu":
        if shutil.which(PROGRAM) is None:
            say(f"{PROGRAM} is missing: apt-get install qemu-system-x86 (left out)")
        else:
            found = best(lambda: in_qemu(kernel, initrd, append, args.vcpus), args.runs)
            if found is None:
                say("QEMU did not get to the shell (left out)")
            else:
                peers["qemu"] = found.seconds
    rows = []
    engines = list(dict.fromkeys(args.engine or ["auto"]))
    for engine in engines:
        boot = best(partial(in_strata, kernel, initrd, append, engine, args.vcpus), args.runs)
        if boot is not None:
            rows.append(row(args.configuration, engine, args.vcpus, boot, peers))
    report(rows, peers)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if len(rows) == len(engines) else FAILED


def best(boot: Callable[[], Boot | None], runs: int) -> Boot | None:
    """The fastest of so many boots, None if one failed."""
    found = [each for _ in range(runs) if (each := boot()) is not None]
    return min(found, key=lambda each: each.seconds) if len(found) == runs else None


def in_strata(kernel: str, initrd: str, append: str, engine: str, cpus: int) -> Boot | None:
    """Boot in Strata; a failure is named on standard error."""
    command = [sys.executable, "-m", "tools.bench.boot_guest", kernel, initrd, append, engine, str(cpus)]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False,
                          timeout=TIME_LIMIT)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {"ready": False, "reason": f"status {done.returncode}"}
    if done.stdout:
        result = json.loads(done.stdout)
    if not result["ready"]:
        say(f"{engine}: Linux did not get to the shell: {result['reason']}")
        return None
    return Boot(seconds, result["instructions"])


def in_qemu(kernel: str, initrd: str, append: str, cpus: int) -> Boot | None:
    """Boot in QEMU's TCG."""
    command = [PROGRAM, "-accel", "tcg", "-cpu", "max", "-m", "256", "-smp", str(cpus), "-kernel", kernel,
               "-initrd", initrd, "-append", append, "-display", "none", "-serial", "stdio", "-monitor", "none",
               "-no-reboot"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if READY.encode() in line:
                    return Boot(time.perf_counter() - start, None)
        finally:
            process.kill()
    return None


def row(configuration: str, engine: str, cpus: int, boot: Boot, peers: dict[str, float]) -> dict[str, Any]:
    """One element of the JSON result: `ratio` is Strata's time over the peer's, `peers` the peers' seconds."""
    assert boot.instructions is not None
    return {"name": f"linux-{configuration}", "engine": engine, "vcpus": cpus, "instructions": boot.instructions,
            "seconds": round(boot.seconds, 3), "mips": round(boot.instructions / boot.seconds / 1e6, 1),
            "ratio": {name: round(boot.seconds / seconds, 3) for name, seconds in peers.items()},
            "peers": {name: round(seconds, 3) for name, seconds in peers.items()}}


def report(rows: list[dict[str, Any]], peers: dict[str, float]) -> None:
    """Print the table on standard output."""
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("", "seconds", "instructions", *(f"time of {name}" for name in peers)):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for entry in rows:
        table.add_row(f"strata {entry['engine']}", f"{entry['seconds']:.2f}", f"{entry['instructions']:,}",
                      *(f"{ratio:.2f} x" for ratio in entry["ratio"].values()), style="bold")
    for name, seconds in peers.items():
        table.add_row(name, f"{seconds:.2f}")
    Console(highlight=False).print(table)
