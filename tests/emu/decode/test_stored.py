"""What was decoded is kept on disk and put back where the same bytes are met (emu/decode/stored.py)."""

import os

import pytest

from emu.decode import keeper
from emu.decode.keeper import Keeper
from emu.decode.stored import StoredPages
from emu.decode.translator import Translator
from emu.isa.cpu import bare, parse
from emu.mem.ram import PhysicalMemory
from jit import exits, layout
from jit.compiler import compiler
from tests.jit.bare import CODE, DATA, fresh, put

# mov ecx, 100; 5: add rax, rcx; call 20; dec ecx; jnz 5; hlt; 20: inc rbx; cmp ebx, 50; jne 29; mov rdx, rbx; 29: ret
LOOP = ("b964000000" "4801c8" "e807000000" "ffc9" "75f4" "f4" "9090" "48ffc3" "83fb32" "7503" "4889da" "c3")
MODE = layout.MODE_64


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Gives a machine that keeps all it decodes, with the code to run."""
    monkeypatch.setattr(keeper, "WORTH", 1)
    yield lambda code=LOOP: keeping(tmp_path, code)
    fresh("interp").engine.translator._keeper = None


def keeping(directory, code):
    guest = fresh("interp")
    translator = guest.engine.translator
    translator._keeper, translator.instrument = None, None
    translator.flush()
    translator._keeper = Keeper(StoredPages(directory, guest.engine.cpu), guest.engine.compiler, translator.arena,
                                translator.pages)
    put(guest, code)
    return guest


def save(guest):
    guest.engine.translator._keeper.save()


def run(guest, at=CODE):
    guest.plane.set(layout.RIP, at)
    assert guest.run(10_000) == exits.HALT
    return guest.plane.get(layout.RIP), [guest.plane.get(layout.gpr(n)) for n in range(4)]


def lowered(monkeypatch):
    """How often an instruction is lowered from now on."""
    count = []
    lower = Translator._emit
    monkeypatch.setattr(Translator, "_emit", lambda *args: count.append(1) or lower(*args))
    return count


def test_nothing_is_decoded_that_an_earlier_run_decoded(stored, monkeypatch):
    first = stored()
    expected = run(first)
    assert expected[1] == [5050, 0, 50, 100]
    save(first)
    again = stored()
    count = lowered(monkeypatch)
    assert run(again) == expected
    assert count == []


def test_what_is_new_is_added_to_what_is_put_back(stored, monkeypatch):
    """A forward branch that was never taken leads to what is decoded later."""
    # test edi, edi; jnz 8; xor eax, eax; hlt; nop; 8: mov al, 7; hlt
    code = "85ff" "7504" "31c0" "f4" "90" "b007" "f4"
    first = stored(code)
    run(first)
    save(first)
    second = stored(code)
    second.plane.set(layout.gpr(7), 1)
    count = lowered(monkeypatch)
    assert run(second)[1][0] == 7
    assert 0 < len(count) <= 2
    save(second)
    third = stored(code)
    third.plane.set(layout.gpr(7), 1)
    count.clear()
    assert run(third)[1][0] == 7
    assert count == []


def test_other_bytes_are_decoded(stored):
    first = stored()
    run(first)
    save(first)
    other = stored(LOOP.replace("4801c8", "4829c8"))            # sub rax, rcx
    assert run(other)[1][0] == -5050 & (1 << 64) - 1


def test_code_that_was_overwritten_is_kept_as_it_was(stored, monkeypatch):
    first = stored()
    expected = run(first)
    first.engine.translator.invalidate(CODE)
    put(first, "f4")
    run(first)
    save(first)
    again = stored()
    count = lowered(monkeypatch)
    assert run(again) == expected
    assert count == []


def test_what_the_arena_no_longer_has_is_not_kept(stored, tmp_path):
    """A full arena is used again from its start."""
    first = stored()
    expected = run(first)
    first.engine.translator.flush()
    put(first, "31c0" * 40 + "f4")
    run(first)
    save(first)
    assert run(stored()) == expected
    assert len(list(tmp_path.rglob("*.pages"))) == 2


def test_bytes_that_changed_before_they_were_decoded_are_not_kept(stored, monkeypatch):
    """The page's name is that of the bytes which it had at first."""
    code = "f4" + "90" * 127 + "b001" + "f4"
    first = stored(code)
    run(first)
    put(first, "b002", CODE + 128)
    assert run(first, CODE + 128)[1][0] & 0xFF == 2
    save(first)
    assert run(stored(code), CODE + 128)[1][0] & 0xFF == 1


def test_a_debuggers_micro_ops_are_not_kept(stored, tmp_path):
    first = stored()
    first.engine.translator.instrument = lambda emitter, insn, gpa: emitter.op("mov.64", layout.gpr(3), imm=9)
    run(first)
    save(first)
    assert list(tmp_path.rglob("*.pages")) == []


def test_an_instruction_on_two_pages_is_decoded_anew(stored, monkeypatch):
    """What follows a page in the address space is another matter."""
    def machine():
        guest = stored("eb" "fe")
        put(guest, "4889d8" "eb00" "b82a", CODE + 0xFF9)
        put(guest, "000000" "f4", CODE + 0x1000)
        return guest
    first = machine()
    assert run(first, CODE + 0xFF9)[1][0] == 42
    save(first)
    second = machine()
    put(second, "000001" "f4", CODE + 0x1000)
    assert run(second, CODE + 0xFF9)[1][0] == 0x0100002A


@pytest.mark.parametrize("at", [3, 33, 39, 60, -1])
def test_a_damaged_file_is_not_used(stored, tmp_path, at):
    first = stored()
    expected = run(first)
    save(first)
    (path,) = tmp_path.rglob("*.pages")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert run(stored()) == expected


def test_stores_to_what_was_put_back_are_noticed(stored):
    """Code that changes itself, in both runs: mov byte [rip+x], 5 turns `mov al, 1` into `mov al, 5`."""
    code = "b001" "c605f8ffffff05" "38c8" "88c1" "75f1" "f4"
    results = []
    for _ in range(2):
        guest = stored(code)
        results.append(run(guest))
        save(guest)
    assert results[0] == results[1]
    assert results[0][1][0] & 0xFF == 5


def test_small_runs_store_nothing(stored, tmp_path, monkeypatch):
    monkeypatch.undo()
    guest = stored()
    run(guest)
    save(guest)
    assert list(tmp_path.rglob("*.pages")) == []


def test_the_oldest_files_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr("emu.decode.stored.TOTAL_BYTES", 2500)
    for n in range(4):
        StoredPages(tmp_path, bare() if n else parse("qemu64")).put({bytes([n]): bytes(1000)})
        for path in tmp_path.rglob("*.pages"):
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    pages = StoredPages(tmp_path, bare())
    assert [pages.get(bytes([n])) for n in range(4)] == [None, None, bytes(1000), bytes(1000)]
    assert StoredPages(tmp_path, parse("qemu64")).get(b"\0") is None


def test_processors_do_not_share(tmp_path):
    assert StoredPages(tmp_path, bare()).directory != StoredPages(tmp_path, parse("qemu64")).directory


def test_a_directory_that_cannot_be_written_stores_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    pages = StoredPages(tmp_path / "file", bare())
    pages.put({b"a": b"b"})
    assert pages.get(b"a") is None


def test_a_translator_saves_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "WORTH", 1)
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    memory.write(DATA, bytes.fromhex("90" * 3 + "f4"))
    translator = Translator(memory, compiler(), bare(), StoredPages(tmp_path, bare()))
    translator.decode(DATA, MODE, None)
    del translator
    assert len(list(tmp_path.rglob("*.pages"))) == 1


def test_no_file_stays_open(stored):
    """There are many machines in a process."""
    before = len(os.listdir("/proc/self/fd"))
    for n in range(5):
        guest = stored(f"b0{n:02x}f4")
        run(guest)
        save(guest)
    assert len(os.listdir("/proc/self/fd")) == before
