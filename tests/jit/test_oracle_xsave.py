"""XSAVE areas byte for byte as the host CPU reads and writes them: XRSTOR from a random area, then one of the saving
forms to another, on the host and in the engine; and what both refuse to restore.

SSE state is never in its initial configuration here: the host's kernel, which comes between two traced instructions,
makes it count as in use.
"""
import random

import pytest

from jit import layout
from jit.xsave_layout import COMPONENTS, HEADER, SSE, align
from tools.oracle.arena import ARENA_BYTES, DATA, offset_of
from tools.oracle.case import Case
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable, cpu_flags

CASES = 150
FROM, TO, SIZE, ENABLED, COMPACT = DATA.address, DATA.address + 0x1000, 2752, 0xE7, 1 << 63
MXCSR = 24
RESTORE, SAVES = "0fae2b", {"xsave": "0fae21", "xsaveopt": "0fae31", "xsavec": "0fc721"}
NEEDED = {"xsave", "xsaveopt", "xsavec", "avx512f"}


@pytest.fixture(scope="module")
def sides():
    if NEEDED - cpu_flags():
        pytest.skip(f"the host CPU has no {', '.join(sorted(NEEDED - cpu_flags()))}")
    try:
        host = Host()
    except HostUnavailable as why:
        pytest.skip(f"{why}; it needs x86-64 Linux and the right to trace a child")
    guest = Guest()
    guest.plane.set(layout.XCR0, ENABLED)
    guest.plane.update_mode()
    with host:
        yield host, guest


def x87(rng):
    """FCW to the registers, with pointers of 32 bits, which every form keeps."""
    head = b"".join(word.to_bytes(2, "little") for word in (rng.choice((0x37F, 0x27F, 0x300, 0xFFFF)),
                                                            rng.randrange(1 << 16)))
    head += bytes((rng.randrange(256), 0)) + rng.randrange(0x800).to_bytes(2, "little")
    head += b"".join(rng.randrange(1 << 32).to_bytes(8, "little") for _ in range(2))
    return head, b"".join(rng.randbytes(10) + bytes(6) for _ in range(8))


def image(rng, compacted, ask):
    """An area that XRSTOR takes: header bits and contents at random; what is present is not in its initial state."""
    enabled = sum(1 << part.number for part in COMPONENTS if ENABLED >> part.number & 1)
    kept = (rng.randrange(0x400) | ask & SSE) & enabled if compacted else enabled
    present = (rng.randrange(0x400) | ask & SSE) & kept
    data = bytearray(rng.randbytes(HEADER) + bytes(SIZE - HEADER))
    head, registers = x87(rng)
    data[:24], data[32:160] = head, registers
    data[MXCSR:MXCSR + 4] = rng.choice((0x1F80, 0x9FC0, 0x1F80, 0x7F80)).to_bytes(4, "little")
    data[HEADER:HEADER + 16] = (present | (kept | COMPACT if compacted else 0) << 64).to_bytes(16, "little")
    end = HEADER + 64
    for part in COMPONENTS[2:]:
        if kept >> part.number & 1:
            at = part.offset
            if compacted:
                at = end = align(end) if part.aligned else end
                end += part.size
            data[at:at + part.size] = rng.randbytes(part.size)
    return data


def spoil(rng, data):
    """Break a rule of the header, or MXCSR."""
    at, value = rng.choice([(HEADER + 1, 4), (HEADER + 9, 4), (HEADER + 16, 1), (HEADER + 63, 1), (HEADER + 8, 0x18),
                            (MXCSR + 2, 1), (HEADER + 7, 0x80), (HEADER + 30, 1)])
    data[at] |= value


def execute(sides, code, bits, mask):
    """Run an instruction on both; gives the two faults."""
    host, guest = sides
    data = bytes.fromhex(code)
    registers = [0] * 16
    registers[0], registers[2], registers[3], registers[1] = mask & 0xFFFFFFFF, mask >> 32, FROM, TO
    case = Case(data, bits, tuple(registers), 0x202, 0, 0)
    for side in (host, guest):
        side.write_code(0, data)
    guest.forget()
    outcomes = [side.run(case) for side in (host, guest)]
    return outcomes[0].fault, outcomes[1].fault


def put(sides, address, data):
    host, guest = sides
    at = offset_of(DATA) + address - DATA.address
    host.memory[at:at + len(data)] = bytes(data)
    guest.block.view[at:at + len(data)] = bytes(data)


def both(sides):
    host, guest = sides
    at, end = offset_of(DATA), ARENA_BYTES
    return bytes(host.memory[at:end]), bytes(guest.block.view[at:end])


def clean(sides, rng):
    """Both sides start from the same state: SSE's registers have something in them, all others nothing."""
    put(sides, FROM, bytes(24) + (0x1F80).to_bytes(4, "little") + bytes(132) + rng.randbytes(256) + bytes(96)
        + SSE.to_bytes(8, "little") + bytes(SIZE - HEADER - 8))
    assert execute(sides, RESTORE, 64, ENABLED) == (None, None)
    put(sides, TO, rng.randbytes(HEADER) + bytes(64) + rng.randbytes(SIZE - HEADER - 64))


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("bits", [64, 32])
def test_areas_are_those_of_the_host(sides, save, bits):
    rng = random.Random(f"xsave {save} {bits}")
    for number in range(CASES):
        clean(sides, rng)
        compacted = rng.random() < 0.5
        ask, then = (rng.choice((ENABLED, rng.randrange(0x100), (1 << 63) - 1 & ~0x60300)) for _ in range(2))
        data = image(rng, compacted, ask)
        if rng.random() < 0.2:
            spoil(rng, data)
        put(sides, FROM, data)
        rex = "48" if bits == 64 and rng.random() < 0.5 else ""
        faults = execute(sides, rex + RESTORE, bits, ask)
        assert faults[0] == faults[1], (number, data.hex(), ask)
        if faults[0] and data[MXCSR + 2]:
            continue                    # the host has loaded some components by then; the engine never does
        put(sides, TO + HEADER, rng.randrange(0x400).to_bytes(8, "little"))
        faults = execute(sides, rex + SAVES[save], bits, then)
        host, guest = both(sides)
        different = [at - 0x1000 for at in range(len(host)) if host[at] != guest[at]]
        assert faults == (None, None) and not different, (
            f"case {number}: bytes {different[:8]} of {save} {then:#x} after XRSTOR {ask:#x} of "
            f"{data[HEADER:HEADER + 16].hex()}: host {host[0x1000 + HEADER:0x1000 + HEADER + 16].hex()}, "
            f"engine {guest[0x1000 + HEADER:0x1000 + HEADER + 16].hex()}")
