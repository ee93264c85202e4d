"""The memory map, at the sizes where its shape changes."""

import pytest

from emu.load.ram import Range, address_map, loadable, lower_kib, upper_kib

GIB = 1 << 30


@pytest.mark.parametrize(("memory", "expected"), [
    (0x10000, [(0, 0x10000)]), (0xA0000, [(0, 0xA0000)]), (0x100000, [(0, 0xA0000), (0xC0000, 0x100000)]),
    (3 * GIB, [(0, 0xA0000), (0xC0000, 3 * GIB)]), (4 * GIB, [(0, 0xA0000), (0xC0000, 3 * GIB), (4 * GIB, 5 * GIB)])])
def test_loadable(memory: int, expected: list[tuple[int, int]]) -> None:
    assert [(r.base, r.end) for r in loadable(memory)] == expected


def test_address_map_of_small_machines() -> None:
    assert address_map(0x10000) == (Range(0, 0x10000), Range(0xF0000, 0x10000, 2))
    assert address_map(0x100000)[-1] == Range(0xF0000, 0x10000, 2)


@pytest.mark.parametrize("memory", [0x1000, 0x9F000, 0xA0000, 0xC0000, 0x100000, 0x101000, 64 << 20, 5 * GIB])
def test_address_map_ascends_and_offers_only_ram(memory: int) -> None:
    end = 0
    for r in address_map(memory):
        assert r.base >= end and r.size > 0
        end = r.end
        if r.type == 1:
            assert any(piece.base <= r.base and r.end <= piece.end for piece in loadable(memory))


def test_kib() -> None:
    assert (lower_kib(0x10000), upper_kib(0x10000)) == (64, 0)
    assert (lower_kib(4 * GIB), upper_kib(4 * GIB)) == (639, 3 * 1024 * 1024 - 1024)
