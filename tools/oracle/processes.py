"""Spreads tasks over processes that end after some of them: compiled regions are never unloaded."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

LIFE = 16                   # tasks that a process carries out


class ProcessDied(Exception):
    """A process has died; the message says in which task."""


def _serve(make: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any], out: Connection) -> None:
    run = make()
    for task in tasks:
        out.send(run(task))


def spread(make: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any], jobs: int | None = None) -> Iterator[Any]:
    """What the function that `make()` gives in each process returns for the tasks, in any order. `jobs`: processes at a
    time (default: one for each CPU). ProcessDied: one ended before its tasks."""
    jobs = jobs or os.cpu_count() or 1
    waiting = [list(tasks[first:first + LIFE]) for first in range(0, len(tasks), LIFE)]
    if len(waiting) < jobs:
        waiting = [part for first in range(jobs) if (part := list(tasks[first::jobs]))]
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[SpawnProcess, list[Any]]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                theirs = waiting.pop(0)
                receiving, sending = context.Pipe(duplex=False)
                process = context.Process(target=_serve, args=(make, theirs, sending), daemon=True)
                process.start()
                sending.close()
                running[receiving] = process, theirs
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                process, theirs = running[ready]
                try:
                    result = ready.recv()
                except EOFError:
                    process.join()
                    raise ProcessDied(f"a process died (status {process.exitcode}) in {theirs[0]}") from None
                del theirs[0]
                if not theirs:
                    process.join()
                    ready.close()
                    del running[ready]
                yield result
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()
