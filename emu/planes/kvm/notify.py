"""A notification like an eventfd's: a counter behind a file descriptor that `select` can wait for."""

from __future__ import annotations

import os


class RunnableEvent:
    """Counts how often something became runnable; whoever waits looks again after reading."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._was = False

    def fileno(self) -> int:
        """What `select` takes."""
        return self._fd

    def level(self, runnable: bool) -> None:
        """Say whether it is runnable now; going from not to yes counts."""
        if runnable and not self._was:
            os.eventfd_write(self._fd, 1)
        self._was = runnable

    def read(self) -> int:
        """The count since the last read, 0 if none."""
        try:
            return os.eventfd_read(self._fd)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()
