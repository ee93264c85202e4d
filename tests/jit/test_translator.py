"""From bytes to linked records (emu/decode/translator.py): what is linked, joined, dropped and decoded again."""
import ctypes

import pytest

from jit import exits, layout, pmap, uops
from tests.jit.bare import CODE, DATA, fresh, put
from tools.lockstep.tables import NX, RW, P, Tables

MODES = ("interp", "blocks")


def page_of(bare, at=CODE):
    return bare.engine.translator.pages[at & -4096][0]


def record(bare, at):
    """Address of the record at which the instruction at a GPA begins, or 0."""
    return page_of(bare, at).table[at & 4095]


def field(address, offset, kind=ctypes.c_uint64):
    return kind.from_address(address + offset).value


def last_of_block(bare, at):
    """The record of the block's last instruction."""
    address = record(bare, at)
    while field(address, uops.REM, ctypes.c_uint32) > 1:
        address += uops.SIZE
    return address


def decode(bare, code, at=CODE):
    put(bare, code, at)
    bare.engine.translator.decode(at, bare.plane.get(layout.MODE), None)


def test_a_backward_branch_is_linked_and_a_forward_one_once_its_target_is_decoded():
    bare = fresh()
    decode(bare, "90 7502 90 90 ebf9".replace(" ", ""))       # 0: nop; jnz 5; 3: nop; nop; 5: jmp 0
    branch = last_of_block(bare, CODE)
    assert field(branch, uops.TARGET) == 0 and field(branch, uops.NEXT) == 0
    bare.engine.translator.decode(CODE + 5, layout.MODE_64, None)
    assert field(branch, uops.TARGET) == record(bare, CODE + 5) != 0
    assert field(record(bare, CODE + 5), uops.TARGET) == record(bare, CODE)
    bare.engine.translator.decode(CODE + 3, layout.MODE_64, None)
    assert field(branch, uops.NEXT) == record(bare, CODE + 3)


def test_branches_to_other_pages_are_not_linked():
    bare = fresh()
    decode(bare, "e9fb0f0000")                                  # to CODE + 0x1000
    bare.engine.translator.decode(CODE + 0x1000, layout.MODE_64, None)
    assert field(record(bare, CODE), uops.TARGET) == 0


def test_a_branch_into_the_middle_of_a_block_needs_no_decoding():
    bare = fresh()
    put(bare, "48ffc0 48ffc1 48ffc2 f4".replace(" ", ""))
    assert bare.run(100) == exits.HALT
    used = bare.engine.translator.next
    bare.plane.set(layout.RIP, CODE + 3)
    assert bare.run(100) == exits.HALT
    assert (bare.gpr(0), bare.gpr(1), bare.gpr(2)) == (1, 2, 2)
    assert bare.engine.translator.next == used


def test_a_block_ends_where_decoded_code_begins_and_goes_on_there():
    bare = fresh()
    decode(bare, "90 90 48ffc0 f4".replace(" ", ""))
    bare.engine.translator.invalidate(CODE)
    bare.engine.translator.decode(CODE + 2, layout.MODE_64, None)
    bare.engine.translator.decode(CODE, layout.MODE_64, None)
    assert field(record(bare, CODE), uops.REM, ctypes.c_uint32) == 2
    assert bare.run(100) == exits.HALT
    assert bare.left() == 97 and bare.gpr(0) == 1


def test_a_jump_inside_an_instruction_decodes_other_instructions():
    """b8 imm32 holds inc rax; hlt."""
    bare = fresh()
    put(bare, "b848ffc0f4 f4".replace(" ", ""))
    assert bare.run(10) == exits.HALT
    assert bare.gpr(0) == 0xF4C0FF48
    bare.plane.set(layout.RIP, CODE + 1)
    assert bare.run(10) == exits.HALT
    assert bare.gpr(0) == 0xF4C0FF49


@pytest.mark.parametrize("mode", MODES)
def test_long_straight_code(mode):
    """More instructions than one block holds, ending on the next page."""
    bare = fresh(mode)
    put(bare, "48ffc0" * 2000 + "f4")
    for _ in range(3):
        bare.plane.set(layout.RIP, CODE)
        bare.gpr(0, 0)
        assert bare.run(5000) == exits.HALT
        assert bare.gpr(0) == 2000 and bare.left() == 3000


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("here", range(1, 10))
def test_an_instruction_across_pages(mode, here):
    """mov rax, imm64 with `here` bytes on the first page, whose frames are not neighbours."""
    bare = fresh(mode)
    tables = Tables(bare, "4-level", 0x20000)
    tables.map(0x40_0000, DATA + 0x4000)
    entry = tables.map(0x40_1000, DATA)
    tables.use()
    code = bytes.fromhex("48b8efcdab8967452301")
    bare.load(DATA + 0x5000 - here, code[:here])
    bare.load(DATA, code[here:] + b"\xf4")
    bare.load(DATA + 0x1000, code[here:].replace(b"\x01", b"\x07") + b"\xf4")
    for _ in range(3):
        bare.gpr(0, 0)
        bare.plane.set(layout.RIP, 0x40_1000 - here)
        assert bare.run(10) == exits.HALT
        assert bare.gpr(0) == 0x0123456789ABCDEF
        assert bare.plane.get(layout.RIP) == 0x40_1000 + 10 - here
    # The second page is another one now: the instruction is decoded again.
    tables.write(entry, DATA + 0x1000 | P | RW)
    bare.plane.flush()
    bare.plane.set(layout.RIP, 0x40_1000 - here)
    assert bare.run(10) == exits.HALT
    assert bare.gpr(0) == 0x0723456789ABCDEF
    # And now it cannot be executed.
    tables.write(entry, DATA | P | RW | NX)
    bare.plane.flush()
    bare.gpr(0, 5)
    bare.plane.set(layout.RIP, 0x40_1000 - here)
    assert bare.run(10) == exits.RUNTIME
    assert bare.plane.get(layout.FAULT_ADDRESS) == 0x40_1000
    assert (bare.plane.get(layout.FAULT_VECTOR), bare.plane.get(layout.FAULT_ERROR)) == (14, 0x11)
    assert bare.gpr(0) == 5 and bare.plane.get(layout.RIP) == 0x40_1000 - here


@pytest.mark.parametrize("mode", MODES)
def test_a_store_to_the_tail_of_an_instruction_across_pages(mode):
    """mov eax, imm32 across CODE + 0x1000, its last byte counted up by a store between executions."""
    bare = fresh(mode)
    at = CODE + 0x1000 - 2
    # at: mov eax, imm32; add edx, eax; inc byte [CODE + 0x1002]; dec rdi; jnz at; hlt
    put(bare, "b801000000 01c2 fe042502200000 48ffcf 75ed f4".replace(" ", ""), at)
    bare.gpr(7, 10)
    assert bare.run(1000) == exits.HALT
    assert bare.gpr(2) == sum(1 | n << 24 for n in range(10)) & 0xFFFFFFFF


@pytest.mark.parametrize("mode", MODES)
def test_a_store_across_two_code_pages_changes_both(mode):
    """The pages are neighbours in linear memory only, so what is dropped must follow the mapping."""
    bare = fresh(mode)
    tables = Tables(bare, "4-level", 0x20000)
    tables.map(CODE, CODE)
    tables.map(0x40_0000, DATA + 0x4000)
    tables.map(0x40_1000, DATA)
    tables.use()
    bare.load(DATA + 0x5000 - 4, bytes.fromhex("48ffc0c3"))          # inc rax; ret at the first page's end
    bare.load(DATA, bytes.fromhex("48ffc1c3"))                       # inc rcx; ret at the second's start
    # mov rbx, 400ffc; mov rbp, 401000; call rbx; call rbp; mov rsi, inc->dec twice; mov [rbx], rsi; call rbx; call rbp
    put(bare, "bbfc0f4000 bd00104000 ffd3 ffd5 48be48ffc8c348ffc9c3 488933 ffd3 ffd5 f4".replace(" ", ""))
    tables.map(0xF000, 0xF000)
    bare.gpr(4, 0x10000)
    assert bare.run(1000) == exits.HALT
    assert (bare.gpr(0), bare.gpr(1)) == (0, 0)


def test_invalidation_makes_records_stale_and_clears_the_marks():
    bare = fresh()
    decode(bare, "90 90 f4".replace(" ", ""))
    translator = bare.engine.translator
    at = record(bare, CODE)
    generation = translator.generation(CODE)
    assert bare.memory.map[CODE >> 12] & pmap.CODE and translator.decoded[CODE >> 12] == 1
    translator.invalidate(CODE + 0x123)
    assert translator.generation(CODE) == generation + 1
    assert CODE not in translator.pages
    assert not bare.memory.map[CODE >> 12] & pmap.CODE and translator.decoded[CODE >> 12] == 0
    assert field(at, uops.HANDLER) == translator.compiler.address("stale")


def test_marks_are_by_64_bytes():
    """A store next to code, but not into its lines, leaves it decoded."""
    bare = fresh()
    put(bare, "90" * 60 + "c604254010000001" + "f4")          # mov byte [0x1040], 1: starts at 60, ends in line 1
    bare.load(CODE + 0x80, b"")
    assert bare.run(100) == exits.HALT
    assert bare.engine.translator.decoded[CODE >> 12] == 0b11 or bare.engine.translator.generation(CODE)
    put(bare, "c6042500110000 01 f4".replace(" ", ""), 0x3000)  # mov byte [0x1100], 1: another line of CODE's page
    bare.engine.translator.decode(CODE, layout.MODE_64, None)
    generation = bare.engine.translator.generation(CODE)
    assert bare.run(100) == exits.HALT
    assert bare.memory.read(0x1100, 1) == b"\1"
    assert bare.engine.translator.generation(CODE) == generation


def test_one_page_in_two_modes():
    """41 ff c0 is inc r8d in 64-bit mode, inc ecx; inc eax in 32-bit mode."""
    for bits, expected in ((64, (0, 0, 1)), (32, (1, 1, 0)), (64, (0, 0, 1))):
        bare = fresh(bits=bits) if bits == 64 else fresh(bits=32)
        put(bare, "41ffc0f4")
        assert bare.run(10) == exits.HALT
        assert (bare.gpr(0), bare.gpr(1), bare.gpr(8)) == expected
    bare = fresh()
    put(bare, "41ffc0f4")
    for bits in (64, 32, 64, 32):
        bare.mode(bits)
        bare.plane.set(layout.RIP, CODE)
        assert bare.run(10) == exits.HALT
    assert (bare.gpr(0), bare.gpr(1), bare.gpr(8)) == (2, 2, 2)
    assert len(bare.engine.translator.pages[CODE]) == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_full_arena_is_flushed_and_everything_decoded_again(mode, monkeypatch):
    bare = fresh(mode)
    translator = bare.engine.translator
    put(bare, "48ffc0 48ffcf 75f8 f4".replace(" ", ""))
    flushes = 0
    for turn in range(40):
        translator.next = max(translator.next, translator.arena.size - (1 << 20) - 200_000)
        other = 0x2000 + 0x1000 * (turn % 5)
        put(bare, "48ffc0 48ffcf 75f8 f4".replace(" ", ""), other)
        before = translator.next
        bare.gpr(0, 0)
        bare.gpr(7, 10)
        assert bare.run(1000) == exits.HALT
        assert bare.gpr(0) == 10
        flushes += translator.next < before
        translator.invalidate(other)
    assert flushes > 3
    translator.flush()
    bare.plane.flush()


def test_the_same_bytes_elsewhere_become_the_same_records_unless_they_depend_on_their_place():
    bare = fresh()
    decode(bare, "48ffc0 488b0500010000 f4".replace(" ", ""))               # inc rax; mov rax, [rip + 0x100]; hlt
    decode(bare, "90 48ffc0 488b0500010000 f4".replace(" ", ""), CODE + 0x1800)
    first, second = record(bare, CODE), record(bare, CODE + 0x1801)
    for offset in (uops.OP, uops.D, uops.A, uops.B):
        assert field(first, offset, ctypes.c_uint32) == field(second, offset, ctypes.c_uint32)
    assert field(second, uops.OFFSET, ctypes.c_uint16) == 0x801
    loads = field(record(bare, CODE + 3), uops.IMM), field(record(bare, CODE + 0x1804), uops.IMM)
    assert loads == (0x10A, 0x90B)
