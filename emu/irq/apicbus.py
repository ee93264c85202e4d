"""Routing between local APICs, I/O APICs and message-signalled interrupts (Intel SDM vol. 3A, 11.6 and 11.11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

FIXED, LOWEST_PRIORITY, SMI, REMOTE_READ, NMI, INIT, STARTUP, EXTINT = range(8)
MODE_NAMES = ("fixed", "lowest priority", "SMI", "remote read", "NMI", "INIT", "start-up", "ExtINT")
NO_SHORTHAND, TO_SELF, TO_ALL, TO_OTHERS = range(4)


@dataclass(frozen=True)
class ApicMessage:
    """One interrupt message. `destination` is 8 bits wide, or 32 if `wide` (sent in x2APIC mode)."""

    vector: int
    mode: int = FIXED
    destination: int = 0
    logical: bool = False
    level_triggered: bool = False
    asserted: bool = True
    shorthand: int = NO_SHORTHAND
    wide: bool = False


class ApicTarget(Protocol):
    """What the bus needs of a local APIC."""

    @property
    def priority(self) -> int: ...

    def matches(self, message: ApicMessage) -> bool: ...

    def accept(self, message: ApicMessage) -> None: ...


class ApicBus:
    """All local APICs of the machine, in order of their index. `report` names messages that no CPU can take."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._targets: list[ApicTarget] = []
        self._reported: set[str] = set()

    def attach(self, target: ApicTarget) -> None:
        """Add a local APIC."""
        self._targets.append(target)

    def detach(self, target: ApicTarget) -> None:
        """Disconnect a local APIC."""
        self._targets.remove(target)

    def send(self, message: ApicMessage, source: ApicTarget | None = None) -> int:
        """Deliver a message; returns how many local APICs took it. `source` is the sender of an IPI."""
        mode = message.mode
        if mode == REMOTE_READ or (message.shorthand in (TO_SELF, TO_ALL) and mode not in (FIXED, LOWEST_PRIORITY)):
            # SDM table 11-3: these combinations are invalid.
            self._once(f"{MODE_NAMES[mode]} message with shorthand {message.shorthand} is not valid; dropped")
            return 0
        if mode == INIT and message.level_triggered and not message.asserted:
            return 0  # INIT level de-assert: "not supported in Pentium 4 and Intel Xeon processors" (SDM 11.6.1)
        if message.shorthand == TO_SELF:
            targets = [source] if source is not None else []
        elif message.shorthand == TO_ALL:
            targets = list(self._targets)
        elif message.shorthand == TO_OTHERS:
            targets = [target for target in self._targets if target is not source]
        else:
            targets = [target for target in self._targets if target.matches(message)]
        if mode == LOWEST_PRIORITY and len(targets) > 1:
            # Ties go to the first in machine order, so that a run can be repeated.
            targets = [min(targets, key=lambda target: target.priority)]
        for target in targets:
            target.accept(message)
        return len(targets)

    def send_msi(self, address: int, data: int) -> int:
        """A message-signalled interrupt: a dword written to 0xFEExxxxx (SDM 11.11)."""
        mode = data >> 8 & 7
        if address >> 3 & 1 and mode == FIXED:
            mode = LOWEST_PRIORITY  # the redirection hint chooses one of the matching CPUs
        return self.send(
            ApicMessage(
                vector=data & 0xFF,
                mode=mode,
                destination=address >> 12 & 0xFF,
                logical=bool(address & 4),
                level_triggered=bool(data >> 15 & 1),
                asserted=bool(data >> 14 & 1) or not data >> 15 & 1,
            )
        )

    def _once(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._report(f"APIC bus: {text}")
