"""Further hypercalls: messages and events within the partition, spin waits, capabilities (TLFS, "Hypercall
reference")."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from emu.planes.vsm import codes, installed
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, simple_call
from emu.planes.vsm.synic import EVENT_FLAGS, PAYLOAD_BYTES, SINTS, Synic, message

MESSAGE_BYTES = 16 + PAYLOAD_BYTES


def _synic(caller: Caller, data: bytes) -> tuple[Synic, int]:
    """Where a direct message or event goes: u64 partition, u32 VP, u8 VTL, u8 SINT."""
    partition = caller.vp.partition
    identity, index, vtl, sint = struct.unpack_from("<QIBB", data)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    if sint >= SINTS or vtl & ~codes.TARGET_VTL:
        raise HvError(codes.INVALID_PARAMETER)
    if vtl > caller.vtl or not vp.enabled >> vtl & 1:
        raise HvError(codes.ACCESS_DENIED)
    return vp.vtls[vtl].synic, sint


@simple_call(codes.SIGNAL_EVENT_DIRECT, 16, output=8)
def signal_event_direct(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 VP, u8 VTL, u8 SINT, u16 flag; out: u8 whether the flag was newly set, 7 zero bytes."""
    synic, sint = _synic(caller, data)
    flag = int.from_bytes(data[14:16], "little")
    if flag >= EVENT_FLAGS:
        raise HvError(codes.INVALID_PARAMETER)
    fresh = synic.signal(sint, flag)
    if fresh is None:
        raise HvError(codes.INVALID_SYNIC_STATE)
    return bytes((fresh,)).ljust(8, b"\0")


@simple_call(codes.POST_MESSAGE_DIRECT, 24 + MESSAGE_BYTES, may_be_fast=False)
def post_message_direct(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 VP, u8 VTL, u8 SINT, 10 reserved bytes, then a message: u32 type, u8 size, u8 flags, u16 0,
    u64 origin, 240 bytes of payload."""
    synic, sint = _synic(caller, data)
    kind, size, _, _, origin = struct.unpack_from("<IBBHQ", data, 24)
    if any(data[14:24]) or not kind or kind >> 31 or size > PAYLOAD_BYTES:
        raise HvError(codes.INVALID_PARAMETER)
    if not synic.post(sint, message(kind, data[40:40 + size], origin)):
        raise HvError(codes.INVALID_SYNIC_STATE)
    return b""


@contextmanager
def _unknown(caller: Caller, kind: int, status: int) -> Iterator[None]:
    """A call ends with `status` where what it names does not exist, unless a higher VTL intercepts such calls."""
    try:
        yield
    except HvError as error:
        if error.status == status:
            caller.vp.partition.intercepts.hypercall(caller.vp, kind)
        raise


@simple_call(codes.POST_MESSAGE, 16 + PAYLOAD_BYTES, may_be_fast=False)
def post_message(caller: Caller, data: bytes) -> bytes:
    """u32 connection, u32 0, u32 type, u32 size, 240 bytes of payload."""
    connection, _, kind, size = struct.unpack_from("<4I", data)
    if size > PAYLOAD_BYTES or not kind or kind >> 31:
        raise HvError(codes.INVALID_PARAMETER)
    with _unknown(caller, installed.UNKNOWN_SYNIC_CONNECTION, codes.INVALID_CONNECTION_ID):
        caller.vp.partition.connections.post(connection, kind, data[16:16 + size])
    return b""


@simple_call(codes.SIGNAL_EVENT, 8)
def signal_event(caller: Caller, data: bytes) -> bytes:
    """u32 connection, u16 flag, u16 0."""
    connection, flag, zero = struct.unpack("<IHH", data)
    if zero:
        raise HvError(codes.INVALID_PARAMETER)
    with _unknown(caller, installed.UNKNOWN_SYNIC_CONNECTION, codes.INVALID_CONNECTION_ID):
        caller.vp.partition.connections.signal(connection, flag)
    return b""


def _uninteresting(header: bytes) -> int:
    """The banks of a processor set, for a call that does not look at them."""
    return 0


@simple_call(codes.RETARGET_DEVICE_INTERRUPT, 56, variable=_uninteresting)
def retarget_device_interrupt(caller: Caller, data: bytes) -> bytes:
    """No device here takes part in interrupt remapping, so each is unknown."""
    with _unknown(caller, installed.RETARGET_UNKNOWN_DEVICE, codes.INVALID_PARAMETER):
        raise HvError(codes.INVALID_PARAMETER)


@simple_call(codes.NOTIFY_LONG_SPIN_WAIT, 8)
def notify_long_spin_wait(caller: Caller, data: bytes) -> bytes:
    """u64 spins so far: another virtual processor may run."""
    caller.vp.partition.machine.reschedule = True
    return b""


@simple_call(codes.QUERY_CAPABILITIES, 0, output=8)
def query_capabilities(caller: Caller, data: bytes) -> bytes:
    """u64 mask of the extended calls that exist besides this one: none."""
    return bytes(8)
