"""A line on standard error while something before the guest's first output takes long."""
import sys
import threading
from types import TracebackType
from typing import Self, TextIO

PATIENCE = 2.0          # seconds without a word before the line appears
PERIOD = 0.2


class Progress:
    """Calls with a text say what is being done; a call with "" says that it is over.

    The text is shown once it has gone on for two seconds: kept up to date on a terminal, printed once elsewhere.
    """

    def __init__(self, stream: TextIO | None = None, patience: float = PATIENCE) -> None:
        self._stream = stream or sys.stderr
        self._patience = patience
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._text = ""
        self._elapsed = 0.0
        self._shown = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="strata-progress", daemon=True)

    def __call__(self, text: str) -> None:
        with self._lock:
            if not self._text:
                self._elapsed = 0.0
            self._text = text
            if not text:
                self._erase()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self("")

    def _tick(self) -> None:
        while not self._stop.wait(PERIOD):
            with self._lock:
                self._elapsed += PERIOD
                if self._text and self._elapsed >= self._patience:
                    self._show()

    def _show(self) -> None:
        if self._terminal:
            print(f"\r\x1b[Kstrata: {self._text} ({self._elapsed:.0f} s)", end="", file=self._stream, flush=True)
        elif not self._shown:
            print(f"strata: {self._text}", file=self._stream, flush=True)
        self._shown = True

    def _erase(self) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
        self._shown = False
