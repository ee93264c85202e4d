"""What was decoded from one page, without any address of this process: to be put back where the same bytes are met.

An image has the records of all the page's blocks one after the other, without what depends on where they lie; the page
offsets at which instructions start, each with its record; and the links to instructions that were not decoded.
"""

from __future__ import annotations

import ctypes
import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from emu.mem.ram import PAGE, HostBlock
from jit import uops

if TYPE_CHECKING:
    from emu.decode.translator import CodePage
    from jit.compiler import Compiler

LINE_SHIFT = 6
_FIELDS: dict[str, tuple[int, type]] = {
    "handler": (uops.HANDLER, np.uint64), "imm": (uops.IMM, np.uint64), "d": (uops.D, np.uint32),
    "a": (uops.A, np.uint32), "b": (uops.B, np.uint32), "offset": (uops.OFFSET, np.uint16),
    "length": (uops.LENGTH, np.uint8), "target": (uops.TARGET, np.uint64), "next": (uops.NEXT, np.uint64),
    "rem": (uops.REM, np.uint32), "op": (uops.OP, np.uint32), "region": (uops.REGION, np.uint64)}
RECORD = np.dtype({"names": list(_FIELDS), "offsets": [at for at, _ in _FIELDS.values()],
                   "formats": [kind for _, kind in _FIELDS.values()], "itemsize": uops.SIZE})
KEPT = ("imm", "d", "a", "b", "offset", "length", "rem")        # fields that are the same wherever the records lie
LINKS = {"target": uops.TARGET, "next": uops.NEXT}              # in an image: number of the record plus 1, or 0
# A record in an image; `op` indexes the image's names
PACKED = np.dtype([(name, _FIELDS[name][1]) for name in KEPT] + [("target", np.uint32), ("next", np.uint32),
                                                                  ("op", np.uint16)])


def records_of(arena: HostBlock) -> np.ndarray[Any, Any]:
    """The arena as an array of records. It does not keep the arena alive."""
    return np.ctypeslib.as_array((ctypes.c_ubyte * arena.size).from_address(arena.address)).view(RECORD)


def image(page: CodePage, arena: HostBlock, names: list[str]) -> bytes:
    """The image of a page; `names` are the micro-ops' by id."""
    records = records_of(arena)
    ranges = [(first, count) for first, count in page.records if first not in page.across]
    firsts = np.array([first for first, _ in ranges], np.uint64)
    counts = np.array([count for _, count in ranges], np.uint64)
    starts = np.cumsum(counts) - counts
    rows = np.concatenate([_at(records, arena, first, count) for first, count in ranges])

    def number(addresses: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Number of the record at each address, plus 1; 0 where it is none of these."""
        nearest = np.maximum(np.searchsorted(firsts, addresses, side="right").astype(np.int64) - 1, 0)
        index = (addresses - firsts[nearest]) // uops.SIZE
        return np.where((addresses >= firsts[nearest]) & (index < counts[nearest]), starts[nearest] + index + 1, 0)

    packed = np.zeros(len(rows), PACKED)
    for name in KEPT:
        packed[name] = rows[name]
    ids, packed["op"] = np.unique(rows["op"], return_inverse=True)
    pending: list[tuple[int, int, int]] = []            # (number of the record, field, page offset)
    for name, field in LINKS.items():
        packed[name] = number(rows[name])
        for n in np.flatnonzero((rows[name] != 0) & (packed[name] == 0)).tolist():
            pending.append((n, field, int(_at(records, arena, int(rows[name][n]), 1)["offset"][0])))
    for offset, words in page.pending.items():
        at = np.array(words, np.uint64) * 8 + arena.address
        found = number(at & np.uint64(-uops.SIZE & (1 << 64) - 1))
        pending += [(int(n) - 1, int(word) % uops.SIZE, offset)
                    for n, word in zip(found, at - arena.address, strict=True) if n]
    table = np.ctypeslib.as_array(page.table)
    offsets = np.flatnonzero(table)
    at = number(table[offsets])
    here = at != 0
    return marshal.dumps((tuple(names[n] for n in ids.tolist()), packed.tobytes(),
                          offsets[here].astype(np.uint16).tobytes(), (at[here] - 1).astype(np.uint32).tobytes(),
                          pending))


def put_back(data: bytes, page: CodePage, arena: HostBlock, allocate: Callable[[int], int],
             compiler: Compiler) -> int:
    """Write an image's records to the arena, and enter its instructions in the page, of which nothing was decoded yet;
    gives the set of 64-byte lines that hold them. `allocate` gives the address of so many bytes."""
    names, packed_bytes, offsets, at, pending = marshal.loads(data)
    packed = np.frombuffer(packed_bytes, PACKED)
    address = allocate(len(packed) * uops.SIZE)
    ctypes.memset(address, 0, len(packed) * uops.SIZE)
    rows = _at(records_of(arena), arena, address, len(packed))
    ids = np.array([compiler.op_id(name) for name in names], np.uint32)
    rows["op"] = ids[packed["op"]]
    rows["handler"] = compiler.table[rows["op"]]
    for name in KEPT:
        rows[name] = packed[name]
    for name in LINKS:
        links = packed[name].astype(np.uint64)
        rows[name] = np.where(links != 0, address + (links - 1) * uops.SIZE, 0)
    np.ctypeslib.as_array(page.table)[np.frombuffer(offsets, np.uint16)] = (
        address + np.frombuffer(at, np.uint32).astype(np.uint64) * uops.SIZE)
    page.records.append((address, len(packed)))
    for n, field, offset in pending:
        page.pending.setdefault(offset, []).append((address - arena.address + n * uops.SIZE + field) // 8)
    first, length = packed["offset"].astype(np.uint64), packed["length"].astype(np.uint64)
    lines = (np.uint64(1) << (first >> LINE_SHIFT)) | (np.uint64(1) << (first + length - 1 >> LINE_SHIFT))
    return int(np.bitwise_or.reduce(lines))


def _at(records: np.ndarray[Any, Any], arena: HostBlock, address: int, count: int) -> np.ndarray[Any, Any]:
    first = (address - arena.address) // uops.SIZE
    return records[first:first + count]


assert PAGE >> LINE_SHIFT == 64
