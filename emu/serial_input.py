"""Bytes for COM1 that come from outside, from any thread, while the guest runs or waits for them."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from emu.clock import SECOND, Clock

WAIT = 0.1                      # host seconds between looks at time-out and keyboard while waiting for input


class SerialInput:
    """A queue in front of the UART. `open`: more may come, so that the run is interactive."""

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self._feed = feed
        self._queue: queue.SimpleQueue[tuple[bytes, bool]] = queue.SimpleQueue()
        self.open = False

    def put(self, data: bytes, more: bool) -> None:
        """Hand in bytes; with `more`, further ones may come."""
        self._queue.put((data, more))

    def receive(self, wait: float | None = None) -> None:
        """Hand over what has come; with `wait`, give it that many host seconds to come."""
        try:
            while True:
                data, self.open = self._queue.get(block=wait is not None, timeout=wait)
                self._feed(data)
                wait = None
        except queue.Empty:
            return

    def idle(self, clock: Clock, deadline: int | None) -> None:
        """The guest has nothing to do: time passes as the host's does until input comes or the event at `deadline`."""
        now, started = clock.now, time.perf_counter()
        self.receive(WAIT if deadline is None else min(WAIT, (deadline - now) / SECOND))
        if deadline is not None:
            clock.skip_to(min(deadline, now + int((time.perf_counter() - started) * SECOND)))
