"""Which plane ran when: what the timeline shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from emu import Machine

ICOUNT, SOURCE, TARGET = 0, 1, 2
Rows = np.ndarray[Any, Any]


class Residency:
    """The plane switches of a run as far as it is known, which is further than the present after going back.

    `end`: the instruction count up to which the run is known.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.end = machine.icount
        self._rows: list[Rows] = [vcpu.switch_table()[:, :3] for vcpu in machine.vcpu]

    def update(self) -> None:
        """The machine stands elsewhere. What was known of later than that stays, unless it was changed by hand and has
        another future now."""
        now, known = self.machine.icount, max(self.machine.frontier, self.machine.icount)
        self.end = known
        for vcpu in self.machine.vcpu:
            past = vcpu.switch_table()[:, :3]
            later = self._rows[vcpu.index]
            later = later[(later[:, ICOUNT] > now) & (later[:, ICOUNT] <= known)]
            self._rows[vcpu.index] = np.concatenate((past, later))

    def switches(self, vcpu: int) -> list[int]:
        """The instruction counts of a vCPU's known plane switches."""
        return self._rows[vcpu][:, ICOUNT].tolist()

    def planes(self, vcpu: int) -> list[int]:
        """The planes that ran, and the one that runs."""
        seen = np.unique(self._rows[vcpu][:, SOURCE:]).tolist()
        return sorted({*seen, self.machine.vcpu[vcpu].active.number})

    def shares(self, vcpu: int, start: int, end: int, columns: int) -> list[dict[int, float]]:
        """For each of `columns` equal parts of a stretch, the share of it that each plane ran in; what is not known
        has no shares."""
        edges = np.linspace(start, end, columns + 1)
        width = max((end - start) / columns, 1e-9)
        rows = self._rows[vcpu].astype(np.int64)
        times = np.concatenate(([0], rows[:, ICOUNT], [max(self.end, 1)])).astype(float)
        first = int(rows[0, SOURCE]) if len(rows) else self.machine.vcpu[vcpu].active.number
        active = np.concatenate(([first], rows[:, TARGET]))
        found: list[dict[int, float]] = [{} for _ in range(columns)]
        for plane in np.unique(active).tolist():
            mine = np.where(active == plane, np.diff(times), 0.0)
            total = np.concatenate(([0.0], np.cumsum(mine)))
            spent = np.diff(np.interp(edges, times, total))
            for column, share in enumerate(spent / width):
                if share > 1e-9:
                    found[column][plane] = min(1.0, float(share))
        return found
