"""Memory accesses off the fast path: page ends, devices, ROM, the end of memory (jit/slow.py, emu/mem/ram.py)."""
import subprocess
import sys
from pathlib import Path

import pytest

from jit import exits, layout, pmap
from tests.jit.bare import DATA, fresh, put
from tools.lockstep.tables import RW, P, Tables

TOP = Path(__file__).resolve().parents[2]
FIRST, SECOND = 0x40_0000, 0x40_1000            # neighbours in linear memory only
CODE = 0x1000
DEVICE = 0x10_0000                              # the first address beyond RAM
MODES = ("interp", "blocks")


def paged(mode, second=P | RW):
    bare = fresh(mode)
    tables = Tables(bare, "4-level", 0x20000)
    tables.map(CODE, CODE)
    tables.map(FIRST, DATA + 0x2000)
    if second is not None:
        tables.map(SECOND, DATA, second)
    tables.use()
    return bare


def repeat(bare, code, turns=20):
    """Run code in a loop: L: code; dec rdi; jnz L; hlt."""
    body = bytes.fromhex(code.replace(" ", ""))
    put(bare, body + b"\x48\xff\xcf\x75" + bytes(((-5 - len(body)) & 0xFF,)) + b"\xf4")
    bare.gpr(7, turns)
    return bare.run(1 << 20)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inside", range(1, 8))
def test_loads_and_stores_across_pages(mode, inside):
    """mov rax, [rsi]; inc rax; mov [rsi], rax at each offset that leaves `inside` bytes on the first page."""
    bare = paged(mode)
    bare.gpr(6, SECOND - inside)
    start = 0x0123_4567_89AB_CDEF
    data = start.to_bytes(8, "little")
    bare.memory.write(DATA + 0x3000 - inside, data[:inside])
    bare.memory.write(DATA, data[inside:])
    assert repeat(bare, "488b06 48ffc0 488906") == exits.HALT
    found = bare.memory.read(DATA + 0x3000 - inside, inside) + bare.memory.read(DATA, 8 - inside)
    assert int.from_bytes(found, "little") == start + 20
    assert bare.memory.read(DATA + 0x3000, 8) == bytes(8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("second, error", ((None, 2), (P, 3)), ids=("absent", "read-only"))
@pytest.mark.parametrize("code", ("488906", "480106", "480fc106", "50", "48ff06", "488706"),
                         ids=("store", "add", "xadd", "push", "inc", "xchg"))
def test_a_fault_on_the_second_page_changes_nothing(mode, code, second, error):
    bare = paged(mode, second)
    bare.gpr(0, 0x1111_1111_1111_1111)
    bare.gpr(6, SECOND - 3)
    bare.gpr(4, SECOND + 5)                                     # PUSH writes at SECOND - 3
    before = [bare.gpr(n) for n in range(16) if n != 7]
    assert repeat(bare, code) == exits.RUNTIME
    assert [bare.gpr(n) for n in range(16) if n != 7] == before
    assert bare.gpr(7) == 20
    assert bare.memory.read(DATA + 0x2FF0, 16) == bytes(16)
    assert bare.memory.read(DATA, 16) == bytes(16)
    vector, code_, address = (bare.plane.get(f) for f in (layout.FAULT_VECTOR, layout.FAULT_ERROR,
                                                           layout.FAULT_ADDRESS))
    assert vector == 14 and address == SECOND
    # Reading before writing may report either access where the page is absent (SDM Vol. 3A 4.7).
    assert code_ == error


@pytest.mark.parametrize("mode", MODES)
def test_read_modify_write_of_a_device_reads_and_writes_once(mode):
    """add [rsi], rax: one read and one write each turn, although the micro-ops are executed more often."""
    bare = fresh(mode)
    bare.gpr(6, DEVICE + 0x18)
    bare.gpr(0, 5)
    assert repeat(bare, "0106", 6) == exits.HALT
    kinds = [kind for kind, _, _, _ in bare.devices]
    assert kinds == [exits.IO_MMIO_READ, exits.IO_MMIO_WRITE] * 6
    for read, write in zip(range(0, 12, 2), range(1, 12, 2), strict=True):
        answer = ((read + 1) * 0x9E3779B97F4A7C15 ^ (DEVICE + 0x18)) & 0xFFFFFFFF
        assert bare.devices[write] == (exits.IO_MMIO_WRITE, DEVICE + 0x18, 4, (answer + 5) & 0xFFFFFFFF)


@pytest.mark.parametrize("mode", MODES)
def test_an_access_half_in_memory_and_half_in_a_device(mode):
    """The device sees its own bytes only, in order."""
    bare = fresh(mode)
    bare.gpr(6, DEVICE - 2)
    bare.gpr(0, 0x44332211)
    assert repeat(bare, "8906", 1) == exits.HALT
    assert bare.devices == [(exits.IO_MMIO_WRITE, DEVICE, 1, 0x33), (exits.IO_MMIO_WRITE, DEVICE + 1, 1, 0x44)]
    assert bare.memory.read(DEVICE - 2, 2) == b"\x11\x22"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", (DATA, DATA - 3), ids=("inside", "across"))
def test_rom_is_read_and_ignores_stores(mode, at):
    bare = fresh(mode)
    bare.memory.protect(DATA, 4096, pmap.READ)
    try:
        bare.plane.flush()
        bare.memory.write(at, b"\x07" * 8)
        bare.gpr(6, at)
        assert repeat(bare, "48ff06 488b06") == exits.HALT
        in_ram = max(DATA - at, 0)
        assert bare.memory.read(DATA, 8 - in_ram) == b"\x07" * (8 - in_ram)
        assert bare.gpr(0) == int.from_bytes(bare.memory.read(at, 8), "little")
        assert (bare.memory.read(at, 1) == b"\x07") == (in_ram == 0)
    finally:
        bare.memory.protect(DATA, 4096, pmap.READ | pmap.WRITE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("base, vector", ((0x0000_8000_0000_0000, 13), (0x0000_7FFF_FFFF_FFFC, 13)))
def test_non_canonical_addresses_fault(mode, base, vector):
    """#GP(0), and #SS(0) through RSP (SDM Vol. 3A 5.3.1)."""
    bare = fresh(mode)
    bare.gpr(6, base)
    bare.gpr(4, base)
    for code, expected in (("488b06", vector), ("488b0424", 12)):
        assert repeat(bare, code, 1) == exits.RUNTIME
        assert (bare.plane.get(layout.FAULT_VECTOR), bare.plane.get(layout.FAULT_ERROR)) == (expected, 0)
        bare.skip()


def test_guard_pages_surround_guest_memory():
    """Nothing but a TLB hit reaches memory; were one wrong by a page, the process would end, not go on."""
    for offset in ("-1", "block.size"):
        script = ("import ctypes; from emu.mem.ram import HostBlock; block = HostBlock(8192); "
                  "ctypes.c_ubyte.from_address(block.address).value; "
                  "ctypes.c_ubyte.from_address(block.address + 8191).value; print('alive', flush=True); "
                  f"ctypes.c_ubyte.from_address(block.address + {offset}).value")
        done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True)
        assert done.stdout == "alive\n"
        assert done.returncode == -11
