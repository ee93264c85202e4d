"""The block compiler (jit/region.py, emu/regions.py): entering, leaving, and never outliving what it was made from."""
import ctypes
import threading

import pytest

import emu.regions
from jit import exits, layout, uops
from jit.region import compile_region
from jit.region_view import VIEW_END, keeps_to_view
from tests.jit.bare import CODE, DATA, fresh, put
from tools.lockstep.tables import Tables

LOOP = "48ffc0 48ffcf 75f8 f4"            # L: inc rax; dec rdi; jnz L; hlt


def loop(bare, code=LOOP, turns=100):
    put(bare, code.replace(" ", ""))
    bare.gpr(7, turns)
    return bare.run(1 << 30)


def region_at(bare, at=CODE):
    page = bare.engine.translator.pages[at & -4096][0]
    return ctypes.c_uint64.from_address(page.table[at & 4095] + uops.REGION).value


def test_a_loop_is_compiled_and_gives_the_same():
    bare = fresh("blocks")
    before = bare.engine.regions.compiled
    assert loop(bare) == exits.HALT
    assert bare.gpr(0) == 100
    assert bare.engine.regions.compiled > before
    assert region_at(bare)


def test_the_interpreter_compiles_nothing():
    bare = fresh("interp")
    assert loop(bare, turns=100_000) == exits.HALT
    assert bare.engine.regions.compiled == 0


def test_leaves_on_a_tlb_miss_and_resumes():
    """A walk over 600 pages: 512 TLB entries, so each page misses, also in the second round."""
    bare = fresh("blocks")
    tables = Tables(bare, "4-level", 0x20000)
    for page in range(600):
        tables.map(0x10_0000 + 4096 * page, DATA + 4096 * (page % 8))
    tables.map(CODE, CODE)
    tables.use()
    # L: mov rcx, [rsi]; add rax, rcx; mov [rsi + 8], rax; add rsi, 4096; dec rdi; jnz L; hlt
    code = "488b0e 4801c8 48894608 4881c600100000 48ffcf 75ea f4"
    for _ in range(2):
        bare.memory.write(DATA, b"".join((n + 1).to_bytes(8, "little") + bytes(4088) for n in range(8)))
        bare.gpr(0, 0)
        bare.gpr(6, 0x10_0000)
        assert loop(bare, code, 600) == exits.HALT
        assert bare.gpr(0) == 600 // 8 * 36
        assert int.from_bytes(bare.memory.read(DATA + 7 * 4096 + 8, 8), "little") == bare.gpr(0)
    bare.gpr(6, 0x10_0000)
    assert loop(bare, code, 601) == exits.RUNTIME             # the page after the last
    assert bare.plane.get(layout.FAULT_ADDRESS) == 0x10_0000 + 600 * 4096
    assert bare.plane.get(layout.RIP) == CODE
    assert bare.gpr(7) == 1


def test_a_store_into_the_region_itself():
    """The loop's own ADD immediate is counted up: each turn adds what the last one stored."""
    bare = fresh("blocks")
    # L: add eax, imm32 (at CODE + 1); inc dword [CODE + 1]; dec rdi; jnz L; hlt
    code = "0501000000 ff042501100000 48ffcf 75ef f4"
    assert loop(bare, code, 20) == exits.HALT
    assert bare.gpr(0) == sum(range(1, 21))


def test_a_store_ahead_in_the_same_block():
    bare = fresh("blocks")
    # mov dword [CODE + 13], edi; add eax, imm32 (opcode at CODE + 7, so its immediate is at CODE + 8); dec; jnz
    code = "893c2508100000 0500000000 48ffcf 75ef f4"
    assert loop(bare, code, 20) == exits.HALT
    assert bare.gpr(0) == sum(range(1, 21))


def test_calls_return_inside_and_elsewhere():
    """f is called from two places: one in its region, and later one that the region did not know."""
    bare = fresh("blocks")
    # L: call f; dec rdi; jnz L; hlt; f: inc rax; ret
    assert loop(bare, "e806000000 48ffcf 75f6 f4 48ffc0 c3") == exits.HALT
    assert bare.gpr(0) == 100
    bare.memory.write(0x3000, bytes.fromhex("ffd3f4"))          # call rbx; hlt
    bare.gpr(3, CODE + 11)
    bare.plane.set(layout.RIP, 0x3000)
    assert bare.run(100) == exits.HALT
    assert bare.gpr(0) == 101
    assert bare.plane.get(layout.RIP) == 0x3002
    assert bare.gpr(4) == 0x10000


def test_two_regions_on_two_pages():
    """L: jmp far; far: inc rax; dec rdi; jnz L; hlt, the two halves on neighbouring pages."""
    bare = fresh("blocks")
    bare.memory.write(0x2000, bytes.fromhex("48ffc0 48ffcf 0f85f4efffff f4"))
    assert loop(bare, "e9fb0f0000") == exits.HALT
    assert bare.gpr(0) == 100
    assert region_at(bare, CODE) != region_at(bare, 0x2000) != 0


def test_segment_bases_and_limits_are_seen():
    """FS accesses in 64-bit mode, and segment checks of 32-bit code, read what lies outside the hot part."""
    bare = fresh("blocks")
    bare.plane.set(layout.seg(layout.FS, layout.SEG_BASE), DATA)
    assert loop(bare, "6448ff042510000000 48ffcf 75f2 f4") == exits.HALT      # inc qword fs:[16]
    assert bare.memory.read(DATA + 16, 8) == (100).to_bytes(8, "little")
    bare = fresh("blocks", 32)
    bare.plane.set(layout.seg(layout.DS, layout.SEG_LIMIT), DATA + 50)
    bare.gpr(6, DATA)
    assert loop(bare, "fe06 46 4f 75fa f4") == exits.RUNTIME                    # inc byte [esi]; inc esi; ...
    assert bare.plane.get(layout.FAULT_VECTOR) == 13
    assert bare.gpr(6) == DATA + 51
    assert bare.memory.read(DATA, 52) == b"\1" * 51 + b"\0"


def test_invalidation_puts_the_interpreter_back():
    bare = fresh("blocks")
    loop(bare)
    assert region_at(bare)
    bare.load(CODE, bytes.fromhex("48ffc8"))                    # dec rax instead
    bare.gpr(0, 0)
    bare.gpr(7, 100)
    bare.plane.set(layout.RIP, CODE)
    assert bare.run(1 << 20) == exits.HALT
    assert bare.gpr(0) == -100 & (1 << 64) - 1


def test_what_changes_while_it_is_compiled_is_not_installed(monkeypatch):
    bare = fresh("auto")
    regions = bare.engine.regions
    compiling, go = threading.Event(), threading.Event()

    def slowly(*arguments):
        compiling.set()
        assert go.wait(20)
        return compile_region(*arguments)
    monkeypatch.setattr(emu.regions, "compile_region", slowly)
    before = regions.compiled
    put(bare, LOOP.replace(" ", ""))
    bare.gpr(7, 1 << 40)
    assert bare.run(1_000_000) == exits.EVENT
    assert compiling.wait(20) and regions.busy
    bare.load(CODE, bytes.fromhex("48ffc8"))
    bare.gpr(0, 0)
    bare.gpr(7, 50)
    bare.plane.set(layout.RIP, CODE)
    go.set()
    while regions.busy:
        regions.poll()
    assert regions.compiled == before
    assert bare.run(1 << 20) == exits.HALT
    assert bare.gpr(0) == -50 & (1 << 64) - 1
    assert not region_at(bare)


def test_auto_compiles_in_the_background():
    bare = fresh("auto")
    regions = bare.engine.regions
    before = regions.compiled
    put(bare, LOOP.replace(" ", ""))
    bare.gpr(7, 1 << 60)
    ran = 0
    while regions.compiled == before:
        assert bare.run(200_000) == exits.EVENT
        ran += 200_000
    assert bare.run(1_000) == exits.EVENT
    assert 3 * bare.gpr(0) == (ran + 1_000) // 3 * 3 + {0: 0, 1: 3, 2: 3}[(ran + 1_000) % 3]


@pytest.mark.parametrize("text, fits", [
    ("  %p = getelementptr i8, ptr %s, i64 8\n  %v = load i64, ptr %p, align 8", True),
    (f"  %p = getelementptr i8, ptr %s, i64 {layout.CPL}\n  %v = load i64, ptr %p, align 8", True),
    (f"  %p = getelementptr i8, ptr %s, i64 {VIEW_END}\n  %v = load i64, ptr %p, align 8", False),
    (f"  %p = getelementptr i8, ptr %s, i64 {layout.CPL}\n  store i64 %v, ptr %p, align 8", False),
    (f"  %p = getelementptr i8, ptr %s, i64 {layout.FAULT_ERROR}\n  store i64 0, ptr %p, align 8", True),
    (f"  %n = phi i64 [ 8, %a ], [ {layout.MODE}, %b ]\n  %p = getelementptr i8, ptr %s, i64 %n\n"
     "  %v = load i64, ptr %p, align 8", False),
    (f"  %n = select i1 %c, i64 8, i64 {layout.SHADOW}\n  %p = getelementptr i8, ptr %s, i64 %n\n"
     "  store i8 0, ptr %p, align 1", False),
])
def test_what_a_handler_may_touch_in_a_region(text, fits):
    assert keeps_to_view(text) == fits


def test_handlers_that_need_more_stay_in_the_interpreter():
    compiler = fresh().engine.compiler
    for name, fits in {"add.64": True, "jcc.4.32": True, "linear_seg.32": True, "privileged": True, "hlt": False,
                       "load_sreg": False, "check_next_page": False, "rep_movs.8.64": False}.items():
        compiler.op_id(name)
        assert compiler.compilable(name) == fits, name


def test_results_that_go_to_vector_registers_are_no_state_offsets():
    """Offsets into the FPU file are larger than the part of the state that a region copies."""
    compiler = fresh().engine.compiler
    for name, slot in {"add.64": True, "paddb.16": False, "loadv.16": False, "vector_to_gpr.4": True,
                       "addps.16": False, "storev.16": False}.items():
        compiler.op_id(name)
        assert compiler.compilable(name) and compiler.names_slot(name) == slot, name
