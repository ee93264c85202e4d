"""What comes from outside during a run, recorded by when the guest received it, so that a run can be repeated exactly.

Until execution goes back, the log's end is the present: bytes come from whoever calls `put`. Behind it they come from
the log. A position is (instruction count, virtual time in ns): idle time passes without instructions.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import NamedTuple


class Input(NamedTuple):
    """Serial input: the position at which the guest received it, and whether more may come."""

    icount: int
    now: int
    data: bytes
    more: bool


class InputLog:
    """Serial input of one machine; `feed` hands it to the UART."""

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self._feed = feed
        self._live: queue.SimpleQueue[tuple[bytes, bool]] = queue.SimpleQueue()
        self._waiting: list[tuple[bytes, bool]] = []
        self.log: list[Input] = []
        self.next = 0               # first entry that the guest has not received
        self.open = False           # whether more may come

    def put(self, data: bytes, more: bool) -> None:
        """Bytes from outside, from any thread."""
        self._live.put((data, more))

    def deliver(self, icount: int, now: int, live: bool = True) -> None:
        """Hand over what the guest is to receive at this position; what comes from outside only where `live`."""
        while self.next < len(self.log) and self.log[self.next][:2] <= (icount, now):
            self._hand_over(self.log[self.next])
        if self.next < len(self.log) or not live:
            return
        while self._waiting or not self._live.empty():
            data, more = self._waiting.pop() if self._waiting else self._live.get()
            self.log.append(Input(icount, now, data, more))
            self._hand_over(self.log[-1])

    def _hand_over(self, entry: Input) -> None:
        self.next += 1
        self.open = entry.more
        self._feed(entry.data)

    def wait(self, seconds: float) -> None:
        """Give live input that many host seconds to come; what comes is delivered next time."""
        try:
            self._waiting.append(self._live.get(timeout=seconds))
        except queue.Empty:
            return

    def next_icount(self) -> int | None:
        """The instruction count at which recorded input is due, or None."""
        return self.log[self.next].icount if self.next < len(self.log) else None

    def next_now(self, icount: int) -> int | None:
        """The virtual time at which a guest that is idle at this instruction count received its next input, or None."""
        return self.log[self.next].now if self.next_icount() == icount else None

    def forget_future(self) -> None:
        """The run takes another course from here: what was received later did not happen."""
        del self.log[self.next:]

    def save(self) -> dict[str, object]:
        """State: how far the log was consumed."""
        return {"next": self.next, "open": self.open}

    def load(self, state: dict[str, object]) -> None:
        """Go back to a state of the same log, or start an empty one (of a file's snapshot)."""
        assert isinstance(state["next"], int)
        self.next, self.open = min(state["next"], len(self.log)), bool(state["open"])
