"""The machine, and the Python API: `from emu import Machine`. See docs/api.md."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.api.machine import Machine as Machine
    from emu.debug.breakpoint import Breakpoint as Breakpoint
    from emu.debug.event import Event as Event
    from emu.load.model import ImageError as ImageError
    from emu.snapshot.snapshot import Snapshot as Snapshot
    from emu.stop import Stop as Stop

_PUBLIC = {"Machine": "emu.api.machine", "Breakpoint": "emu.debug.breakpoint", "Event": "emu.debug.event",
           "ImageError": "emu.load.image", "Snapshot": "emu.snapshot.snapshot", "Stop": "emu.stop"}
__all__ = ["Breakpoint", "Event", "ImageError", "Machine", "Snapshot", "Stop"]


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: the engine takes a moment to load."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib
    return getattr(importlib.import_module(_PUBLIC[name]), name)
