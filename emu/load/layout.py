"""Who gets which RAM: the image's own segments first, then free places for what the loader adds.

Nothing overlaps by construction: a claim is checked against RAM's borders and every earlier claim before a byte is
copied.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from emu.load import ram
from emu.load.model import ImageError, Segment

_TOP_OF_FREE_CONVENTIONAL = 0x9F000  # below the EBDA, page aligned
RESERVED = "the RAM of another privilege plane"


class Layout:
    """The guest's RAM while an image is being laid out in it. ``memory`` in bytes; see ``ram`` for where RAM is, and
    for ``reserved``."""

    def __init__(self, path: str, memory: int, reserved: int = 0, *, upwards: bool = False) -> None:
        ram.check_memory(path, memory)
        self.path = path
        self._ram = ram.loadable(memory)
        self._claims: list[tuple[int, int, str]] = []  # (start, end, field), ascending, disjoint
        self._segments: list[Segment] = []
        self._upwards = upwards
        self.claim(ram.low_end(memory) - reserved, reserved, RESERVED)

    def claim(self, gpa: int, size: int, field: str) -> None:
        """Take ``size`` bytes at ``gpa`` without putting anything there. ImageError if not free RAM."""
        if size <= 0:
            return
        end = gpa + size
        if not any(r.base <= gpa and end <= r.end for r in self._ram):
            where = ", ".join(f"{r.base:#x}-{r.end - 1:#x}" for r in self._ram)
            raise ImageError(self.path, field, f"{gpa:#x}-{end - 1:#x} is not in one piece of RAM ({where})")
        at = bisect_left(self._claims, (gpa, 0, ""))
        for other_start, other_end, other in self._claims[max(0, at - 1):at + 1]:
            if gpa < other_end and other_start < end:
                rule = f"{gpa:#x}-{end - 1:#x} overlaps {other} at {other_start:#x}-{other_end - 1:#x}"
                raise ImageError(self.path, field, rule)
        insort(self._claims, (gpa, end, field))

    def untouched(self, gpa: int, size: int) -> bool:
        """Whether nothing was claimed of ``size`` bytes at ``gpa``, which need not be RAM."""
        return not any(start < gpa + size and gpa < end for start, end, _ in self._claims)

    def put(self, gpa: int, data: bytes | memoryview, field: str, size: int | None = None) -> None:
        """Claim and fill: ``data`` at ``gpa``, zeros up to ``size`` (default: no zeros)."""
        size = len(data) if size is None else size
        self.claim(gpa, size, field)
        if size > 0:
            self._segments.append(Segment(gpa, bytes(data), size))

    def find(self, size: int, field: str, *, low: int, high: int, align: int = ram.PAGE, top: bool = False) -> int:
        """The lowest (``top``: highest) free aligned address whose ``size`` bytes lie in [``low``, ``high``)."""
        found = None
        for start, end in self._gaps(low, high):
            at = (end - size) & -align if top else (start + align - 1) & -align
            if start <= at and at + size <= end:
                found = at
                if not top:
                    break
        if found is None:
            rule = f"no {size} bytes of RAM are free between {low:#x} and {high - 1:#x}"
            raise ImageError(self.path, field, rule)
        return found

    def find_low(self, size: int, field: str, align: int = ram.PAGE) -> int:
        """A free place for a structure of the loader's, where guests rarely build their own.

        That is conventional memory, from the top down (``upwards``: from the bottom up); if that is full, the lowest
        free place from 1 MiB to 4 GiB.
        """
        try:
            return self.find(size, field, low=ram.PAGE, high=_TOP_OF_FREE_CONVENTIONAL, align=align,
                             top=not self._upwards)
        except ImageError:
            return self.find(size, field, low=ram.HIGH_START, high=ram.FOUR_GIB, align=align)

    def put_low(self, data: bytes, field: str, *, size: int | None = None, align: int = ram.PAGE) -> int:
        """Put ``data`` where ``find_low`` says; its address."""
        gpa = self.find_low(len(data) if size is None else size, field, align)
        self.put(gpa, data, field, size)
        return gpa

    def end_below_4g(self) -> int:
        """The first page-aligned address from 1 MiB on that is above every claim of the image's below 4 GiB."""
        end = max((e for _, e, field in self._claims if e <= ram.FOUR_GIB and field != RESERVED), default=0)
        return (max(end, ram.HIGH_START) + ram.PAGE - 1) & -ram.PAGE

    def segments(self) -> tuple[Segment, ...]:
        """What was put, ascending by address."""
        return tuple(sorted(self._segments, key=lambda s: s.gpa))

    def _gaps(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        for r in self._ram:
            start, stop = max(r.base, low), min(r.end, high)
            for claim_start, claim_end, _ in self._claims:
                if claim_end <= start or claim_start >= stop:
                    continue
                if claim_start > start:
                    yield start, claim_start
                start = claim_end
            if start < stop:
                yield start, stop
