"""What a VM's GSIs send: KVM_SET_GSI_ROUTING with MSI entries, and which plane that is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from emu.planes.kvm.dialects import EINVAL, refuse

if TYPE_CHECKING:
    from emu.planes.kvm.vm import KvmVm

MAX_GSIS = 4096                 # KVM_MAX_IRQ_ROUTES


class GsiRoute(NamedTuple):
    """kvm_irq_routing_entry of type MSI, with the plane that one series (svsm-planes-v6.17) put in its padding."""

    gsi: int
    address: int
    data: int
    plane: int = 0


class GsiRouting:
    """The routing table of a VM."""

    def __init__(self, vm: KvmVm) -> None:
        self._vm = vm
        self._routes: dict[int, list[GsiRoute]] = {}
        self._levels: dict[int, int] = {}

    def set(self, entries: list[GsiRoute], owner: int | None) -> None:
        """Replace the table; `owner` is the plane that does so, None for the VM."""
        rule = self._vm.dialect.routing
        if any(entry.plane for entry in entries) and rule != "entry":
            raise refuse(EINVAL, f"{self._vm.dialect.name} has no planes in routing entries")
        if any(not 0 <= entry.gsi < MAX_GSIS for entry in entries):
            raise refuse(EINVAL, f"GSIs are numbered 0 to {MAX_GSIS - 1}")
        self._routes = {}
        for entry in entries:
            plane = (owner or 0) if rule == "owner" else entry.plane
            self._routes.setdefault(entry.gsi, []).append(entry._replace(plane=plane))

    def save(self) -> dict[str, Any]:
        """Routes and the levels of lines."""
        return {"routes": [tuple(route) for routes in self._routes.values() for route in routes],
                "levels": dict(self._levels)}

    def load(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self._routes, self._levels = {}, dict(state["levels"])
        for route in state["routes"]:
            self._routes.setdefault(route[0], []).append(GsiRoute(*route))

    def line(self, gsi: int, level: int) -> int:
        """Set a line. Routes to planes that do not exist are dropped. KvmError EINVAL: no such GSI."""
        if not 0 <= gsi < MAX_GSIS:
            raise refuse(EINVAL, f"GSIs are numbered 0 to {MAX_GSIS - 1}")
        rises = level and not self._levels.get(gsi)
        self._levels[gsi] = level
        if not rises:
            return 0
        return sum(self._vm.planes[route.plane].signal_msi(route.address, route.data)
                   for route in self._routes.get(gsi, ()) if route.plane in self._vm.planes)
