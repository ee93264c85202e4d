"""Compiles hot code on a second thread and puts it in place between two entries of compiled code.

With engine "auto" a region is compiled in the background once the run loop's samples call a micro-op hot; with
"blocks" at once, and every block is hot on first sight; with "interp" never. What the guest sees is the same.
"""

from __future__ import annotations

import ctypes
import itertools
import queue
import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from jit import layout, uops
from jit.region import FAST_PATHS, Plan, Planner, RegionBuilder, compile_region, fits, read_uop
from jit.region_object import RegionProcess
from jit.region_watched import WatchedRegionBuilder

if TYPE_CHECKING:
    from emu.engine import Engine
    from emu.plane import Plane
    from jit.compiler import Compiler

SAMPLING = {"interp": (0, 0), "auto": (4096, 48), "blocks": (1, 1)}      # instructions between samples, heat limit
# Regions that wait to be compiled: more would be out of date when their turn comes (booting is a long list of them)
MAX_WAITING = 8
_symbols = itertools.count()


class Job(NamedTuple):
    """A region on its way: its plan, the page and generation it was read from."""

    plan: Plan
    gpa: int
    generation: int
    symbol: str
    builder: type[RegionBuilder] = RegionBuilder


class Worker(threading.Thread):
    """The thread that has hot code compiled, by a process of its own. It must have ended before this process does:
    LLVM's globals are destroyed at exit, and a thread that still uses them then crashes. So `stop` is called there too.
    """

    def __init__(self, compiler: Compiler, jobs: queue.SimpleQueue[Job | None],
                 done: queue.SimpleQueue[tuple[Job, bytes | None]]) -> None:
        super().__init__(name="strata-regions", daemon=True)
        self.compiler, self.jobs, self.done = compiler, jobs, done
        self.process = RegionProcess(compiler)
        self.stopping = False

    def run(self) -> None:
        """Compile until told to stop."""
        while (job := self.jobs.get()) is not None and not self.stopping:
            try:
                self.done.put((job, compile_region(self.compiler, job.plan, job.symbol, job.builder,
                                                   self.process)))
            except Exception:
                self.done.put((job, None))
                if not self.stopping:
                    raise

    def stop(self) -> None:
        """Drop what is being compiled, and end."""
        self.stopping = True
        self.jobs.put(None)
        self.process.close()
        if threading.current_thread() is not self:      # which may be the one that collects the garbage
            self.join()


class Regions:
    """The block compiler of one machine."""

    builder: type[RegionBuilder] = RegionBuilder

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mode = engine, engine.mode
        self.compiler = engine.compiler
        self.compiled = 0               # regions put in place
        self.failed = 0                 # micro-ops that could not start one
        self._done: queue.SimpleQueue[tuple[Job, bytes | None]] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._pending = 0
        self._covered: set[int] = set()     # block starts of regions that are being compiled
        self._stop: weakref.finalize[[], Regions] | None = None
        self.stale = self.compiler.address("stale")

    def expect_watchpoints(self) -> bool:
        """From now on regions cost little where they access a page with watchpoints; whether this is news. Those that
        are in place go on as they are."""
        if self.builder is WatchedRegionBuilder:
            return False
        self.builder = WatchedRegionBuilder
        return True

    def sampling(self, plane: Plane) -> None:
        """Tell a plane how often to look for hot code."""
        every, limit = SAMPLING[self.mode]
        plane.set(layout.SAMPLE, every)
        plane.set(layout.SAMPLE_BASE, every)
        plane.set(layout.HEAT_LIMIT, limit)

    @property
    def busy(self) -> bool:
        """Whether a compiled region may soon wait to be put in place."""
        return self._pending > 0

    def hot(self, uop: int, gpa: int, mode: int) -> None:
        """The micro-op at address `uop`, on the code page of `gpa`, is hot."""
        if uop in self._covered:
            return
        if self._pending >= MAX_WAITING:
            ctypes.c_uint8.from_address(uop + uops.HEAT).value = 0      # it may ask again
            return
        self._ready()
        page = self.engine.translator.page(gpa & -PAGE, mode)
        plan = Planner(self.compiler, uop, page.table).plan()
        if plan is None:
            self.failed += 1
            return
        job = self._job(plan, page.gpa)
        if self.mode == "blocks":
            self._now(job)
            return
        self._pending += 1
        self._covered.update(plan.blocks)
        self.start()
        self._jobs.put(job)

    def together(self, heads: list[int], gpa: int, mode: int) -> None:
        """Put one region at several micro-ops of a code page, now. A region costs little more for having many short
        pieces of code than for one."""
        self._ready()
        page = self.engine.translator.page(gpa & -PAGE, mode)
        heads = [at for at in heads if fits(self.compiler, read_uop(self.compiler, at))]
        plan = Planner(self.compiler, heads[0], page.table, heads[1:]).plan() if heads else None
        if plan is not None:
            job = self._job(plan, page.gpa)
            self._now(job)

    def _now(self, job: Job) -> None:
        self._install(job, compile_region(self.compiler, job.plan, job.symbol, job.builder))

    def _ready(self) -> None:
        """Compile what every region needs."""
        if self._pending == 0 and self.compiled == 0:
            for name in FAST_PATHS:
                self.compiler.function(name)

    def _job(self, plan: Plan, gpa: int) -> Job:
        return Job(plan, gpa, self.engine.translator.generation(gpa), f"region{next(_symbols)}", self.builder)

    def poll(self) -> None:
        """Put finished regions in place."""
        while self._pending:
            try:
                job, code = self._done.get_nowait()
            except queue.Empty:
                return
            self._pending -= 1
            self._covered.difference_update(job.plan.blocks)
            self._install(job, code)

    def start(self) -> None:
        """Start the compiling thread, if it does not run."""
        if self._stop is None:
            worker = Worker(self.compiler, self._jobs, self._done)
            worker.start()
            self._stop = weakref.finalize(self, worker.stop)

    def close(self) -> None:
        """End the compiling thread; what it has not begun is dropped."""
        if self._stop is not None:
            self._stop()
            self._stop = None

    def _install(self, job: Job, code: bytes | None) -> None:
        if code is None or self.engine.translator.generation(job.gpa) != job.generation:
            return
        address = self.compiler.add_object(code, job.symbol)
        for entry in job.plan.entries:
            if entry != job.plan.head and ctypes.c_uint64.from_address(entry + uops.REGION).value:
                continue                # a region of its own serves it better
            ctypes.c_uint64.from_address(entry + uops.REGION).value = address
            ctypes.c_uint64.from_address(entry + uops.HANDLER).value = address
        self.compiled += 1
