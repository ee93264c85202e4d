"""Loading bytes in a test, and looking at the result as the guest would."""

import pytest

from emu.load.image import load_bytes
from emu.load.model import Image, ImageError, Module, Request
from tests.emu.load.build import MEMORY


def load(kind: str, data: bytes, *, memory: int = MEMORY, modules: tuple[Module, ...] = (), append: str = "",
         load_address: int | None = None, mode: int | None = None) -> Image:
    image = load_bytes(kind, Request("f", data, memory, load_address, mode, modules, append))
    check_sane(image, memory)
    return image


def refused(kind: str, data: bytes, field: str, rule: str = "", **options: object) -> None:
    """Loading fails, names ``field``, says ``rule``, in one line."""
    with pytest.raises(ImageError) as caught:
        load(kind, data, **options)  # type: ignore[arg-type]
    assert field in caught.value.field, caught.value
    assert rule in caught.value.rule, caught.value
    assert str(caught.value).startswith("f: ") and "\n" not in str(caught.value)


def check_sane(image: Image, memory: int) -> None:
    """What holds for every image: segments ascend, do not overlap, lie in RAM; GDT and page tables are among them."""
    end = 0
    for segment in image.segments:
        assert segment.gpa >= end and 0 <= len(segment.data) <= segment.size
        end = segment.gpa + segment.size
    assert end <= max(memory, (1 << 32) + memory - 0xC0000000)
    assert set(image.boot.segments) == {"cs", "ds", "es", "fs", "gs", "ss", "ldtr", "tr"}
    if image.launch is not None:
        return                          # the file itself says where GDT and page tables are
    cr0 = image.boot.registers["cr0"]
    if cr0 & 1:
        base, limit = image.boot.gdtr
        assert len(ram(image, base, limit + 1)) == limit + 1
    if cr0 >> 31:
        assert walk(image, image.boot.registers["rip"]) == image.boot.registers["rip"]


def ram(image: Image, gpa: int, size: int) -> bytes:
    """``size`` bytes that the image puts at ``gpa``; fails if they are not all in one segment."""
    for s in image.segments:
        if s.gpa <= gpa and gpa + size <= s.gpa + s.size:
            return s.data.ljust(min(s.size, gpa - s.gpa + size), b"\0")[gpa - s.gpa:gpa - s.gpa + size]
    raise AssertionError(f"{gpa:#x} is not loaded")


def uint(image: Image, gpa: int, size: int) -> int:
    return int.from_bytes(ram(image, gpa, size), "little")


def string(image: Image, gpa: int) -> bytes:
    out = b""
    while not out.endswith(b"\0"):
        out += ram(image, gpa + len(out), 1)
    return out[:-1]


def walk(image: Image, address: int) -> int | None:
    """Translate through the image's long-mode tables as SDM Vol. 3A 4.5 describes; None if not present."""
    table = image.boot.registers["cr3"]
    for shift in (39, 30, 21, 12):
        entry = uint(image, (table & 0xFFFFFFFFFF000) + (address >> shift & 511) * 8, 8)
        if not entry & 1:
            return None
        assert entry & 2, "identity pages are writable"
        if shift == 12 or entry & 0x80:
            page = (1 << shift) - 1
            return entry & 0xFFFFFFFFFF000 & ~page | address & page
        table = entry
    raise AssertionError
