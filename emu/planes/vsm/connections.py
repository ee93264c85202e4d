"""Connections to ports of the own partition, and the test device that makes them: what kvm-unit-tests expects behind
HvCallPostMessage and HvCallSignalEvent (TLFS, "Inter-partition communication"; QEMU's hyperv-testdev)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.synic import SINTS, Synic, message

if TYPE_CHECKING:
    from emu.planes.vsm.partition import Partition

CONNECTION_ID = 0xFFFFFF
TEST_PORT, TEST_PORTS = 0x3000, 1
ROUTE_CREATE, ROUTE_DESTROY, ROUTE_SET_SINT = 1, 2, 3
MESSAGE_CREATE, MESSAGE_DESTROY, EVENT_CREATE, EVENT_DESTROY = 4, 5, 6, 7


class Connections:
    """Message and event connections by number: each leads to a SINT of VTL0 of a virtual processor. HvError: there is
    none of that number, or no room."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._messages: dict[int, tuple[int, int]] = {}
        self._events: dict[int, tuple[int, int]] = {}

    def post(self, connection: int, kind: int, payload: bytes) -> None:
        """A message arrives at the connection's SINT."""
        synic, sint = self._find(self._messages, connection)
        if not synic.post(sint, message(kind, payload, connection)):
            raise HvError(codes.INSUFFICIENT_BUFFERS)

    def signal(self, connection: int, flag: int) -> None:
        """An event arrives: the flag of the connection's number, to which the caller's is added."""
        synic, sint = self._find(self._events, connection)
        synic.signal(sint, (connection & CONNECTION_ID) + flag)

    def _find(self, table: dict[int, tuple[int, int]], connection: int) -> tuple[Synic, int]:
        found = table.get(connection)
        if found is None:
            raise HvError(codes.INVALID_CONNECTION_ID)
        return self._partition.vps[found[0]].vtls[0].synic, found[1]

    # --- the test device -----------------------------------------------------------------------------------------

    def port_read(self, port: int, size: int) -> int:
        """Nothing can be read."""
        return 0

    port_width = 4

    def port_write(self, port: int, size: int, value: int) -> None:
        """7:0 SINT, 15:8 virtual processor, 23:16 command, 31:24 connection."""
        sint, index, command, connection = value.to_bytes(4, "little")
        if sint >= SINTS or index >= len(self._partition.vps):
            self._partition.report(f"test device command {value:#x}")
            return
        if command == ROUTE_SET_SINT:
            self._partition.vps[index].vtls[0].synic.assert_sint(sint)
        elif command == MESSAGE_CREATE:
            self._messages[connection] = index, sint
        elif command == EVENT_CREATE:
            self._events[connection] = index, sint
        elif command == MESSAGE_DESTROY:
            self._messages.pop(connection, None)
        elif command == EVENT_DESTROY:
            self._events.pop(connection, None)
        elif command not in (ROUTE_CREATE, ROUTE_DESTROY):
            self._partition.report(f"test device command {value:#x}")
