"""Snapshots in files: a header line, a checksum of everything after it, the state as text, the pages that are not zero.

    strata-snapshot 1\\n
    32 bytes     BLAKE2b of all that follows
    u64, u64     bytes of the compressed header, of the compressed pages
    header       JSON, deflated: options, icount, state, page numbers
    pages        4096 bytes each, in the header's order, deflated together

A file is refused unless all of it is as described and fits the machine.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from emu.mem.ram import PAGE
from emu.snapshot import encoding, state
from emu.snapshot.pages import Page, RamImage
from emu.snapshot.registers import check
from emu.snapshot.snapshot import Snapshot, Snapshots, options

if TYPE_CHECKING:
    from emu.machine import Machine

MAGIC = b"strata-snapshot 1\n"
CHECKSUM = 32
SIZES = struct.Struct("<QQ")
MAX_HEADER = 1 << 28


class SnapshotError(ValueError):
    """A snapshot cannot be used; the text is one line that names the file, the field and the rule."""


def fits(machine: Machine, snapshot: Snapshot, name: str = "snapshot") -> None:
    """SnapshotError: it was taken of a machine with other options."""
    here = options(machine)
    for key, value in here.items():
        if snapshot.options.get(key) != value:
            raise SnapshotError(f"{name}: {key}: is {snapshot.options.get(key)!r}, and this machine's is {value!r}")
    if len(snapshot.ram.pages) != sum(block.size for _, block in machine.memory.ram) // PAGE:
        raise SnapshotError(f"{name}: pages: are not as many as this machine's RAM has")


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a file, whole or not at all. OSError: it cannot be written."""
    pages = snapshot.ram.pages
    numbers = [n for n, page in enumerate(pages) if page is not None]
    header = zlib.compress(encoding.encode({
        "options": snapshot.options, "icount": snapshot.icount, "state": snapshot.state, "pages": numbers,
        "count": len(pages)}), 6)
    packer = zlib.compressobj(1)
    packed = b"".join([*(packer.compress(pages[n].data) for n in numbers), packer.flush()])
    body = SIZES.pack(len(header), len(packed)) + header + packed
    temporary = f"{os.fspath(path)}.part"
    try:
        with open(temporary, "wb") as out:
            out.write(MAGIC + hashlib.blake2b(body, digest_size=CHECKSUM).digest() + body)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def read(path: str | os.PathLike[str], machine: Machine) -> Snapshot:
    """Read a file and see whether it fits the machine. SnapshotError, or OSError when it cannot be read."""
    name = os.fspath(path)
    with open(path, "rb") as source:
        data = source.read()
    if not data.startswith(MAGIC):
        first = data.split(b"\n", 1)[0][:32]
        if data.startswith(MAGIC.split()[0]):
            version = first.decode(errors="replace")
            raise SnapshotError(f"{name}: version: {version!r} is not one that this Strata reads")
        raise SnapshotError(f"{name}: magic: is not a Strata snapshot")
    body = data[len(MAGIC) + CHECKSUM:]
    if hashlib.blake2b(body, digest_size=CHECKSUM).digest() != data[len(MAGIC):len(MAGIC) + CHECKSUM]:
        raise SnapshotError(f"{name}: checksum: the file is damaged")
    try:
        snapshot = _parse(body, name)
    except SnapshotError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error, zlib.error) as error:
        raise SnapshotError(f"{name}: contents: are not what a snapshot holds ({type(error).__name__})") from None
    fits(machine, snapshot, name)
    _like(snapshot.state, state.save(machine), name, "state")
    try:
        for vcpu in snapshot.state["vcpus"]:
            check(vcpu["group"], vcpu["planes"])
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{name}: state.vcpus: {error} cannot be") from None
    return snapshot


def restore(path: str | os.PathLike[str], machine: Machine, snapshots: Snapshots) -> Snapshot:
    """Read a file and become what it holds. SnapshotError: the machine stays as it is."""
    snapshot, before = read(path, machine), snapshots.take()
    try:
        snapshots.restore(snapshot)
        for plane in machine.all_planes():
            plane.update_mode()
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        snapshots.restore(before)
        raise SnapshotError(f"{os.fspath(path)}: state: does not fit ({type(error).__name__}: {error})") from None
    return snapshot


def _inflate(data: bytes, limit: int, name: str, field: str) -> bytes:
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(data, limit + 1)
    if len(found) > limit or not unpacker.eof:
        raise SnapshotError(f"{name}: {field}: does not have the size that it should")
    return found


def _parse(body: bytes, name: str) -> Snapshot:
    first, second = SIZES.unpack_from(body)
    if SIZES.size + first + second != len(body):
        raise SnapshotError(f"{name}: sizes: do not add up to the file's")
    header = encoding.decode(_inflate(body[SIZES.size:SIZES.size + first], MAX_HEADER, name, "header"))
    numbers, count = header["pages"], header["count"]
    if numbers != sorted(set(numbers)) or numbers and not 0 <= numbers[-1] < count or count >= 1 << 32:
        raise SnapshotError(f"{name}: pages: are not in order, or beyond RAM")
    data = _inflate(body[SIZES.size + first:], len(numbers) * PAGE, name, "pages")
    if len(data) != len(numbers) * PAGE:
        raise SnapshotError(f"{name}: pages: does not have the size that it should")
    pages: np.ndarray[Any, Any] = np.full(count, None, object)
    for n, number in enumerate(numbers):
        pages[number] = Page(data[n * PAGE:(n + 1) * PAGE])
    return Snapshot(dict(header["options"]), int(header["icount"]), header["state"], RamImage(pages))


def _like(found: Any, wanted: Any, name: str, field: str) -> None:
    """The parts of a state that every machine with these options has must be there, each of its kind."""
    if isinstance(wanted, dict) and field != "state.model":
        for key, value in wanted.items():
            if not isinstance(found, dict) or key not in found:
                raise SnapshotError(f"{name}: {field}.{key}: is missing")
            _like(found[key], value, name, f"{field}.{key}")
    elif isinstance(wanted, list) and field in ("state.vcpus", "state.pc.lapics"):
        if not isinstance(found, list) or len(found) != len(wanted):
            raise SnapshotError(f"{name}: {field}: must have {len(wanted)} entries")
        for n, value in enumerate(wanted):
            _like(found[n], value, name, f"{field}[{n}]")
    elif isinstance(wanted, bytes) and (not isinstance(found, bytes) or len(found) != len(wanted)) \
            and not field.endswith(".fault"):
        raise SnapshotError(f"{name}: {field}: must be {len(wanted)} bytes")
    elif type(wanted) is int and type(found) not in (int, bool):
        raise SnapshotError(f"{name}: {field}: must be a number")
