"""Compiles hot code on a second thread and puts it in place between two entries of compiled code.

With engine "auto" a region is compiled in the background once the run loop's samples call a micro-op hot; with
"blocks" at once, and every block is hot on first sight; with "interp" never. What the guest sees is the same.
"""

from __future__ import annotations

import ctypes
import itertools
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from jit import layout, uops
from jit.region import FAST_PATHS, Plan, Planner, compile_region, fits, read_uop

if TYPE_CHECKING:
    from emu.engine import Engine
    from emu.plane import Plane

SAMPLING = {"interp": (0, 0), "auto": (4096, 6), "blocks": (1, 1)}      # instructions between samples, heat limit
_symbols = itertools.count()


class Job(NamedTuple):
    """A region on its way: its plan, the page and generation it was read from."""

    plan: Plan
    gpa: int
    generation: int
    symbol: str


class Regions:
    """The block compiler of one machine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mode = engine, engine.mode
        self.compiler = engine.compiler
        self.compiled = 0               # regions put in place
        self.failed = 0                 # micro-ops that could not start one
        self._done: queue.SimpleQueue[tuple[Job, bytes | None]] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._pending = 0
        self._covered: set[int] = set()     # block starts of regions that are being compiled
        self._thread: threading.Thread | None = None
        self.stale = self.compiler.address("stale")

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
        self._ready()
        page = self.engine.translator.page(gpa & -PAGE, mode)
        plan = Planner(self.compiler, uop, page.table).plan()
        if plan is None:
            self.failed += 1
            return
        job = self._job(plan, page.gpa)
        if self.mode == "blocks":
            self._install(job, self._compile(job))
            return
        self._pending += 1
        self._covered.update(plan.blocks)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="strata-regions", daemon=True)
            self._thread.start()
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
            self._install(job, self._compile(job))

    def _ready(self) -> None:
        """Compile what every region needs."""
        if self._pending == 0 and self.compiled == 0:
            for name in ("region_fill", *FAST_PATHS):
                self.compiler.function(name)

    def _job(self, plan: Plan, gpa: int) -> Job:
        return Job(plan, gpa, self.engine.translator.generation(gpa), f"region{next(_symbols)}")

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

    def close(self) -> None:
        """End the compiling thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _compile(self, job: Job) -> bytes:
        return compile_region(self.compiler, job.plan, job.symbol)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._done.put((job, self._compile(job)))
            except Exception:
                self._done.put((job, None))
                raise

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
