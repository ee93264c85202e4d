"""TLB locks: while a higher VTL holds one, a lower VTL's flushes do not end (TLFS, Virtual Secure Mode, "TLB locks";
VsmVpSecureConfigVtlN.TlbLocked, VsmVpWaitForTlbLock)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from emu.waiting import FOR_ANY_INTERRUPT, FOR_INTERRUPT, RUNNING, WAIT_FOR_UNLOCK
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp


class Lock(NamedTuple):
    """A VTL of a virtual processor holds the lock of a lower one."""

    vp: int
    owner: int
    lower: int


class Waiter:
    """A plane that does not run until some locks are released, and what it does then."""

    def __init__(self, vp: Vp, plane: Plane, locks: set[Lock]) -> None:
        self.vp, self.plane, self.locks = vp, plane, locks
        self.activity = plane.get(layout.ACTIVITY)


class TlbLocks:
    """The TLB locks of a partition."""

    def __init__(self, vps: Sequence[Vp]) -> None:
        """`vps`: the partition's virtual processors, which may come later."""
        self._vps = vps
        self._held: set[Lock] = set()
        self._waiters: list[Waiter] = []

    def hold(self, vp: Vp, owner: int, lower: int, locked: bool) -> None:
        """TlbLocked was written."""
        lock = Lock(vp.index, owner, lower)
        if locked:
            self._held.add(lock)
        elif lock in self._held:
            self._release({lock})
        self._mark(vp, owner)

    def returned(self, vp: Vp, owner: int) -> None:
        """A VTL return ends the locks that the VTL holds on its virtual processor."""
        locks = {lock for lock in self._held if lock[:2] == (vp.index, owner)}
        for lock in locks:
            vp.vtls[owner].secure[lock.lower] &= ~2
        self._release(locks)
        self._mark(vp, owner)

    def wait(self, vp: Vp, vtl: int) -> bool:
        """Keep a VTL of a virtual processor from running while its flushes are locked; False: they are not."""
        locks = {lock for lock in self._held if lock.lower == vtl}
        if locks:
            plane = vp.vcpu.planes[vtl]
            waiter = next((w for w in self._waiters if w.plane is plane), None)
            if waiter is None:
                self._waiters.append(Waiter(vp, plane, locks))
            else:
                waiter.locks |= locks
            plane.set(layout.ACTIVITY, WAIT_FOR_UNLOCK)
        return bool(locks)

    def wake(self, plane: Plane) -> None:
        """An event ends a halt; a wait for locks goes on."""
        if plane.get(layout.ACTIVITY) in FOR_INTERRUPT | FOR_ANY_INTERRUPT:
            plane.set(layout.ACTIVITY, RUNNING)
        for waiter in self._waiters:
            if waiter.plane is plane:
                waiter.activity = RUNNING

    def clear(self) -> None:
        """As after a reset."""
        self._release(set(self._held))

    def save(self) -> dict[str, Any]:
        """State: the locks held, and who waits for which."""
        return {"held": sorted(map(list, self._held)), "waiters": [
            [w.vp.index, w.plane.number, sorted(map(list, w.locks)), w.activity] for w in self._waiters]}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back; the planes exist."""
        self._held = {Lock(*lock) for lock in state["held"]}
        self._waiters = []
        for index, plane, locks, activity in state["waiters"]:
            vp = self._vps[index]
            self._waiters.append(Waiter(vp, vp.vcpu.planes[plane], {Lock(*lock) for lock in locks}))
            self._waiters[-1].activity = activity

    def _mark(self, vp: Vp, owner: int) -> None:
        vp.mark(group_layout.LOCKING, owner, any(lock[:2] == (vp.index, owner) for lock in self._held))

    def _release(self, locks: set[Lock]) -> None:
        self._held -= locks
        for waiter in self._waiters:
            waiter.locks -= locks
            if not waiter.locks:
                waiter.plane.set(layout.ACTIVITY, waiter.activity)
        self._waiters = [waiter for waiter in self._waiters if waiter.locks]
