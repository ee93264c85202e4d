"""Damaged images: whatever the bytes, the answer is a sane image or an ImageError, in bounded memory."""

import random
import tracemalloc

import pytest

from emu.load.image import KINDS, load_bytes
from emu.load.model import ImageError, Module, Request
from emu.load.sniff import sniff
from tests.emu.load import build, build_igvm
from tests.emu.load.help import check_sane

SYMBOLS = [("main", 0x200010, 8, 2), ("data", 0x200020, 4, 1), ("label", 0x200004, 0, 0)]
VALID = {
    "elf": [build.elf(symbols=SYMBOLS), build.elf(32, symbols=SYMBOLS),
            build.elf(kind=3, extra=[{"type": 2, "data": bytes(32)},
                                     {"type": 4, "data": build.note(b"GNU\0", 3, b"id")}]),
            build.elf(loads=[{"data": b"\xf4" * 9, "vaddr": 0x200000, "memsz": 0x5000},
                             {"data": b"data", "vaddr": 0x300000, "memsz": 0x100}])],
    "multiboot": [build.multiboot_elf(), build.multiboot_flat()],
    "multiboot2": [build.multiboot2_elf((1, 1, bytes(8)), (10, 0, bytes(16))), build.multiboot2_elf(bits=32)],
    "pvh": [build.pvh(), build.pvh(bits=32)],
    "linux": [build.linux(), build.linux(version=0x204, kernel=b"k" * 700)],
    "flat": [b"\xf4" * 64],
    "bios": [bytes(0x10000)],
    "igvm": [build_igvm.small(), build_igvm.every_header()],
}
EDGES = [0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x1000, 0x7FFF, 0xFFFF, 0x100000, 0x7FFFFFFF, 0x80000000, 0xFFFFF000,
         0xFFFFFFFF, 1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 0x1000]
MEMORIES = [0x1000, 0x10000, 0x100000, 0x200000, 16 << 20, 64 << 20, 4 << 30, 1 << 38]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A few fields overwritten with edge values or noise, mostly in the headers; sometimes cut, grown or shifted."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        reach = len(out) if rng.random() < 0.5 else min(len(out), 0x280)
        at, size = rng.randrange(reach + 1), rng.choice((1, 2, 4, 8))
        at = at & -size if rng.random() < 0.8 else at
        value = rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(64)
        out[at:at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    match rng.randrange(8):
        case 0:
            del out[rng.randrange(len(out) + 1):]
        case 1:
            out += rng.randbytes(rng.randrange(5000))
        case 2:
            at = rng.randrange(len(out) + 1)
            out[at:at] = rng.randbytes(rng.choice((1, 4, 8)))
    # What a checksum covers would never be reached with a wrong one.
    return build_igvm.sealed(out) if out[:4] == b"IGVM" and rng.random() < 0.9 else bytes(out)


def attempt(rng: random.Random, kind: str, data: bytes, memory: int) -> bool:
    """Load with random options; whether it loaded. Anything but an Image or an ImageError fails the test."""
    count = rng.choice((0, 0, 0, 1, 2))
    modules = tuple(Module("m", rng.randbytes(rng.choice((0, 1, 5000))), "m a") for _ in range(count))
    request = Request("f", data, memory, rng.choice((None, None, None, 0, 0x7C00, 0x100000, -4096, 1 << 63)),
                      rng.choice((None, None, None, 16, 32, 64, 5)), modules, rng.choice(("", "", "x=1", "y" * 300)))
    try:
        sniff("f", data)
        image = load_bytes(kind, request)
    except ImageError as error:
        assert str(error).isprintable()
        return False
    check_sane(image, memory)
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_images(kind: str) -> None:
    rng = random.Random(f"strata {kind}")
    loaded = 0
    for _ in range(1500):
        loaded += attempt(rng, kind, damaged(rng, rng.choice(VALID[kind])), rng.choice(MEMORIES))
    assert loaded, "some damage is harmless: otherwise this test reaches nothing behind the first check"


def test_any_loader_given_any_image() -> None:
    rng = random.Random("strata crossed")
    everything = [data for images in VALID.values() for data in images]
    for _ in range(1500):
        attempt(rng, rng.choice(KINDS), damaged(rng, rng.choice(everything)), rng.choice(MEMORIES))


def test_memory_stays_bounded() -> None:
    """Never more than a few times the input and the loader's own structures, whatever sizes the headers claim."""
    rng = random.Random("strata memory")
    tracemalloc.start()
    try:
        for kind in KINDS:
            for _ in range(150):
                attempt(rng, kind, damaged(rng, rng.choice(VALID[kind])), rng.choice(MEMORIES))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
