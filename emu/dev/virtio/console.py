"""The console device (virtio 1.2, 5.3) with its first port: bytes in, bytes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from emu.dev.virtio.queue import size_of
from emu.dev.virtio.transport import VirtioFunction

RECEIVE, TRANSMIT = 0, 1


class VirtioConsole(VirtioFunction):
    """`output(byte)` gets what the guest writes; `feed(data)` is what it reads, kept until it has buffers."""

    KIND, CLASS_CODE, QUEUES, FEATURES, NAME = 3, 0x078000, 2, 0, "virtio-console"

    def __init__(self, output: Callable[[int], None], read: Callable[[int, int], bytes],
                 write: Callable[[int, bytes], None], line: Callable[[bool], None],
                 report: Callable[[str], None]) -> None:
        self._output, self._waiting = output, deque[int]()
        super().__init__(read, write, line, report)

    def feed(self, data: bytes) -> None:
        """Bytes for the guest."""
        self._waiting.extend(data)
        self.kick(RECEIVE)

    def serve(self, number: int) -> None:
        queue = self.queues[number]
        wanted = False
        while (self._waiting or number == TRANSMIT) and (chain := queue.take()) is not None:
            written = 0
            if number == TRANSMIT:
                for data in queue.fetch(chain.readable, 0, size_of(chain.readable)):
                    for byte in data:
                        self._output(byte)
            else:
                written = min(size_of(chain.writable), len(self._waiting))
                queue.fill(chain.writable, 0, bytes(self._waiting.popleft() for _ in range(written)))
            wanted |= queue.give(chain, written)
        if wanted:
            self.interrupt()

    def reset(self) -> None:
        super().reset()
        self._waiting.clear()

    def save(self) -> dict[str, Any]:
        return super().save() | {"waiting": bytes(self._waiting)}

    def load(self, state: dict[str, Any]) -> None:
        self._waiting = deque(state["waiting"])
        super().load(state)
