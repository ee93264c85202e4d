"""Whatever can run a loop: Strata itself, and what it is compared with.

A runner has a `name` and `run(loop, iterations)`, which returns the loop's result (RAX) and the seconds it took,
start-up included. PeerError says in one line why it could not.
"""
import ctypes
import functools
import mmap
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from tools.bench.image import image
from tools.bench.loop import DATA_SIZE, Loop

TIME_LIMIT = 120        # seconds for one run of another emulator


class PeerError(Exception):
    """A runner did not run the loop to its end; the text is one line."""


class Runner(Protocol):
    """What the measurement needs of Strata and of each peer."""

    name: str

    def run(self, loop: Loop, iterations: int) -> tuple[int, float]:
        """The result of this many iterations, and the seconds taken."""


class Strata:
    """Strata's own machine, with the given engine."""

    SLACK = 10_000      # instructions around the loop: boot, and polling the UART

    def __init__(self, engine: str) -> None:
        self.name = engine

    def run(self, loop: Loop, iterations: int) -> tuple[int, float]:
        """See Runner. The time is that of Machine.run alone."""
        from emu.machine import Machine
        serial = bytearray()
        machine = Machine(memory=64 << 20, vcpus=1, engine=self.name, serial_out=serial.extend,
                          debug_out=lambda data: None, report=lambda line: print(f"strata: {line}", file=sys.stderr))
        with tempfile.NamedTemporaryFile(suffix=".elf") as file:
            file.write(image(loop, iterations))
            file.flush()
            machine.load(file.name)
        start = time.perf_counter()
        stop = machine.run()
        elapsed = time.perf_counter() - start
        if stop.reason != "exit" or len(serial) != 8:
            raise PeerError(f"{self.name}: {loop.name} ended by {stop.reason}: {stop.message}")
        extra = machine.icount - loop.instructions(iterations)
        if not 0 <= extra <= self.SLACK:
            raise PeerError(f"{self.name}: counted {machine.icount:,} instructions where {loop.name} has "
                            f"{loop.instructions(iterations):,}")
        return int.from_bytes(serial, "little"), elapsed


class Qemu:
    """QEMU's TCG, with or without an exact instruction count."""

    PROGRAM = "qemu-system-x86_64"

    def __init__(self, icount: bool) -> None:
        self.name = "qemu-icount" if icount else "qemu"
        self._options = ["-icount", "shift=0"] if icount else []

    @classmethod
    def missing(cls) -> str | None:
        """How to install it, if it is not."""
        return None if shutil.which(cls.PROGRAM) else f"{cls.PROGRAM} is missing: apt-get install qemu-system-x86"

    def run(self, loop: Loop, iterations: int) -> tuple[int, float]:
        """See Runner. The time is that of the whole process."""
        with tempfile.TemporaryDirectory() as directory:
            kernel, serial = Path(directory, "loop.elf"), Path(directory, "serial")
            kernel.write_bytes(image(loop, iterations))
            command = [self.PROGRAM, "-accel", "tcg", *self._options, "-cpu", "max", "-m", "64", "-nodefaults",
                       "-no-user-config", "-display", "none", "-no-reboot",
                       "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", f"file:{serial}",
                       "-kernel", str(kernel)]
            start = time.perf_counter()
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=TIME_LIMIT)
            except subprocess.TimeoutExpired:
                raise PeerError(f"{self.name}: {loop.name} did not end within {TIME_LIMIT} s") from None
            elapsed = time.perf_counter() - start
            result = serial.read_bytes() if serial.exists() else b""
        if done.returncode != 1 or len(result) != 8:
            raise PeerError(f"{self.name}: {loop.name} ended with status {done.returncode}: "
                            f"{' '.join(done.stderr.split()) or 'no message'}")
        return int.from_bytes(result, "little"), elapsed


class Unicorn:
    """Unicorn without hooks, the loop's bytes mapped flat."""

    name = "unicorn"
    CODE, DATA, STACK, END = 0x100000, 0x200000, 0x300000, 0x101000

    @classmethod
    def missing(cls) -> str | None:
        """How to install it, if it is not."""
        try:
            import unicorn  # noqa: F401
        except ImportError:
            return "unicorn is missing: .venv/bin/pip install unicorn"
        return None

    def run(self, loop: Loop, iterations: int) -> tuple[int, float]:
        """See Runner. The time is that of emu_start alone."""
        from unicorn import UC_ARCH_X86, UC_MODE_64, Uc, UcError, x86_const
        machine = Uc(UC_ARCH_X86, UC_MODE_64)
        for address, size in ((self.CODE, 0x2000), (self.DATA, 0x10000), (self.STACK, 0x10000)):
            machine.mem_map(address, size)
        machine.mem_write(self.CODE, loop.code)
        machine.mem_write(self.STACK + 0x8000, self.END.to_bytes(8, "little"))      # where RET goes
        machine.reg_write(x86_const.UC_X86_REG_RSP, self.STACK + 0x8000)
        machine.reg_write(x86_const.UC_X86_REG_RDI, iterations)
        machine.reg_write(x86_const.UC_X86_REG_RSI, self.DATA)
        start = time.perf_counter()
        try:
            machine.emu_start(self.CODE, self.END)
        except UcError as error:
            raise PeerError(f"unicorn: {loop.name}: {error}") from None
        return machine.reg_read(x86_const.UC_X86_REG_RAX), time.perf_counter() - start


class Native:
    """The host CPU itself, for reference."""

    name = "native"

    @classmethod
    def missing(cls) -> str | None:
        """Why the host cannot run the loops, if it cannot."""
        if platform.machine() != "x86_64":
            return f"native: the host is {platform.machine()}, not x86_64"
        try:
            cls._executable().close()
        except OSError as error:
            return f"native: no writable and executable memory here ({error.strerror})"
        return None

    @staticmethod
    def _executable() -> mmap.mmap:
        return mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

    def run(self, loop: Loop, iterations: int) -> tuple[int, float]:
        """See Runner. The time is that of the call alone."""
        lacking = sorted(loop.needs - _host_extensions())
        if lacking:
            raise PeerError(f"native: {loop.name} needs {', '.join(lacking)}, which the host CPU does not have")
        memory = self._executable()
        memory.write(loop.code)
        pinned = (ctypes.c_char * mmap.PAGESIZE).from_buffer(memory)
        function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)(ctypes.addressof(pinned))
        data = ctypes.create_string_buffer(DATA_SIZE)
        start = time.perf_counter()
        result = function(iterations, ctypes.addressof(data))
        elapsed = time.perf_counter() - start
        del function, pinned                    # the map cannot be closed while something points into it
        memory.close()
        return result, elapsed


@functools.cache
def _host_extensions() -> frozenset[str]:
    """What /proc/cpuinfo says the host CPU has; nothing where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(flags, "").split())


def available(wanted: set[str]) -> tuple[list[Runner], list[str]]:
    """The peers of `wanted` (of qemu, unicorn, native) that are here, and one line for each that is missing."""
    peers: list[Runner] = []
    missing = []
    for name, kind, make in (("qemu", Qemu, lambda: [Qemu(icount=False), Qemu(icount=True)]),
                             ("unicorn", Unicorn, lambda: [Unicorn()]), ("native", Native, lambda: [Native()])):
        if name in wanted:
            why = kind.missing()
            if why:
                missing.append(why)
            else:
                peers += make()
    return peers, missing
