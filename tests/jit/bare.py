"""Small helpers over tools/lockstep/bare.py: running code bytes, engine modes."""

from __future__ import annotations

from functools import cache

from jit import layout
from tools.lockstep.bare import Bare, status_flags

MODES = ("interp", "blocks", "auto")
CODE, DATA, STACK = 0x1000, 0x8000, 0x10000


@cache
def shared(mode: str) -> Bare:
    """One engine of a mode for all tests: what is compiled stays compiled."""
    return Bare(mode)


def fresh(mode: str = "interp", bits: int = 64) -> Bare:
    """The shared engine of a mode with empty memory and registers, RIP at CODE and RSP at STACK."""
    bare = shared(mode)
    bare.ram.view[:] = bytes(bare.ram.size)
    bare.reset()
    if bits != 64:
        bare.mode(bits)
    bare.gpr(4, STACK)
    bare.plane.set(layout.RIP, CODE)
    return bare


def put(bare: Bare, code: bytes | str, at: int = CODE) -> None:
    """Write code (hex text or bytes), unless it is there, and point RIP at it."""
    data = bytes.fromhex(code) if isinstance(code, str) else code
    if bare.memory.read(at, len(data)) != data:
        bare.load(at, data)
    bare.plane.set(layout.RIP, at)


def execute(bare: Bare, code: bytes | str, count: int) -> int:
    """Run `count` instructions of code; gives the exit, EVENT when all of them ran."""
    put(bare, code)
    return bare.run(count)


def flags(bare: Bare) -> int:
    """CF PF AF ZF SF OF."""
    return status_flags(bare.plane)
