"""The machine's I/O port space and memory-mapped I/O space.

Ports follow the ISA rule: an access wider than the device takes is split into narrower accesses at consecutive ports
(Intel 82371SB PIIX3 datasheet, "ISA bus slave cycles"). Nothing is silently ignored: the first access to each port or
MMIO page that nobody claims is reported by name, reads then give all ones and writes are dropped, as on a floating bus.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Protocol

PORT_COUNT = 0x10000
REPORTED = 100          # places without a device that are named; a guest gone astray finds them without end
MMIO_PAGE = 0x1000


class PortDevice(Protocol):
    """A device on the port bus. `port_width` (optional, default 1): the widest access in bytes it takes whole."""

    def port_read(self, port: int, size: int) -> int: ...

    def port_write(self, port: int, size: int, value: int) -> None: ...


class MmioDevice(Protocol):
    """A memory-mapped device. Offsets count from the base of its window; sizes are 1, 2, 4 or 8 bytes."""

    def mmio_read(self, offset: int, size: int) -> int: ...

    def mmio_write(self, offset: int, size: int, value: int) -> None: ...


class _PortClaim:
    """One claimed port: the bound methods are looked up once, because console output makes one exit per byte."""

    __slots__ = ("read", "write", "width", "name", "device")

    def __init__(self, device: Any, width: int, name: str) -> None:
        self.read: Callable[[int, int], int] = device.port_read
        self.write: Callable[[int, int, int], None] = device.port_write
        self.width = width
        self.name = name
        self.device = device


class _Window:
    __slots__ = ("base", "end", "device", "name")

    def __init__(self, base: int, size: int, device: MmioDevice, name: str) -> None:
        self.base = base
        self.end = base + size
        self.device = device
        self.name = name


class Bus:
    """Port and MMIO dispatch. `report` receives one line for each unclaimed port or MMIO page, once."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._ports: dict[int, _PortClaim] = {}
        self._windows: list[_Window] = []
        self._bases: list[int] = []
        self._reported: set[tuple[str, int]] = set()

    def add_ports(self, first: int, count: int, device: PortDevice, name: str) -> None:
        """Claim ports `first` .. `first + count - 1`. ValueError if out of range or already claimed."""
        if count < 1 or first < 0 or first + count > PORT_COUNT:
            raise ValueError(f"{name}: ports {first:#x}+{count:#x} lie outside the 64 KiB port space")
        for port in range(first, first + count):
            if port in self._ports:
                raise ValueError(f"{name}: port {port:#x} is already claimed by {self._ports[port].name}")
        claim = _PortClaim(device, getattr(device, "port_width", 1), name)
        for port in range(first, first + count):
            self._ports[port] = claim

    def remove_ports(self, first: int, count: int) -> None:
        """Give up ports, as when a PCI base address register moves. KeyError if one of them is not claimed."""
        for port in range(first, first + count):
            del self._ports[port]

    def ports_free(self, first: int, count: int) -> bool:
        """True if the ports exist and nobody claims any of them."""
        return first + count <= PORT_COUNT and not any(port in self._ports for port in range(first, first + count))

    def add_mmio(self, base: int, size: int, device: MmioDevice, name: str) -> None:
        """Claim physical addresses `base` .. `base + size - 1`. ValueError on overlap or an empty window."""
        if size < 1 or base < 0:
            raise ValueError(f"{name}: MMIO window {base:#x}+{size:#x} is empty or negative")
        index = bisect_right(self._bases, base)
        for neighbour in self._windows[max(index - 1, 0) : index + 1]:
            if base < neighbour.end and neighbour.base < base + size:
                raise ValueError(f"{name}: MMIO window {base:#x}+{size:#x} overlaps {neighbour.name}")
        self._windows.insert(index, _Window(base, size, device, name))
        self._bases.insert(index, base)

    def remove_mmio(self, base: int) -> None:
        """Give up the window that starts at `base`. KeyError if there is none."""
        index = bisect_right(self._bases, base) - 1
        if index < 0 or self._bases[index] != base:
            raise KeyError(f"no MMIO window starts at {base:#x}")
        del self._windows[index], self._bases[index]

    def mmio_windows(self) -> list[tuple[int, int, str]]:
        """(base, size, name) of every window, in address order: what RAM must not cover."""
        return [(w.base, w.end - w.base, w.name) for w in self._windows]

    def claimed(self, gpa: int) -> bool:
        """Whether a device answers at a physical address."""
        return self._window(gpa) is not None

    def port_read(self, port: int, size: int) -> int:
        """IN of `size` bytes (1, 2 or 4)."""
        claim = self._ports.get(port)
        if claim is not None and size <= claim.width:
            return claim.read(port, size)
        if size > 1:
            half = size >> 1
            return self.port_read(port, half) | self.port_read(port + half, half) << (half * 8)
        self._unclaimed("port", port, "read")
        return 0xFF

    def port_write(self, port: int, size: int, value: int) -> None:
        """OUT of `size` bytes (1, 2 or 4); bits of `value` above them are ignored."""
        claim = self._ports.get(port)
        if claim is not None and size <= claim.width:
            claim.write(port, size, value & ((1 << size * 8) - 1))
        elif size > 1:
            half = size >> 1
            self.port_write(port, half, value)
            self.port_write(port + half, half, value >> (half * 8))
        else:
            self._unclaimed("port", port, f"write of {value & 0xFF:#x}")

    def _window(self, gpa: int) -> _Window | None:
        index = bisect_right(self._bases, gpa) - 1
        if index >= 0:
            window = self._windows[index]
            if gpa < window.end:
                return window
        return None

    def mmio_read(self, gpa: int, size: int) -> int:
        """Load of `size` bytes (1, 2, 4 or 8) from a physical address that is not RAM."""
        window = self._window(gpa)
        if window is not None and gpa + size <= window.end:
            return window.device.mmio_read(gpa - window.base, size)
        if window is not None or (size > 1 and self._window(gpa + size - 1) is not None):
            return sum(self.mmio_read(gpa + i, 1) << (i * 8) for i in range(size))
        self._unclaimed("MMIO", gpa, "read")
        return (1 << size * 8) - 1

    def mmio_write(self, gpa: int, size: int, value: int) -> None:
        """Store of `size` bytes (1, 2, 4 or 8) to a physical address that is not RAM."""
        value &= (1 << size * 8) - 1
        window = self._window(gpa)
        if window is not None and gpa + size <= window.end:
            window.device.mmio_write(gpa - window.base, size, value)
        elif window is not None or (size > 1 and self._window(gpa + size - 1) is not None):
            for i in range(size):
                self.mmio_write(gpa + i, 1, value >> (i * 8))
        else:
            self._unclaimed("MMIO", gpa, f"write of {value:#x}")

    def _unclaimed(self, space: str, address: int, access: str) -> None:
        key = (space, address if space == "port" else address // MMIO_PAGE)
        if key in self._reported or len(self._reported) > REPORTED:
            return
        self._reported.add(key)
        if len(self._reported) > REPORTED:
            self._report(f"no device at {REPORTED} places so far: the guest seems lost, and further ones are not named")
        else:
            self._report(f"no device at {space} {address:#x} ({access}): reads give ones, writes are dropped")
