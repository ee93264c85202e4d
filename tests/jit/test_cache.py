"""The on-disk cache: whatever is wrong with it, code is compiled anew and results are the same (jit/cache.py)."""
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jit import cache, warm
from jit.cache import Cache, Compiled
from jit.compiler import Compiler

TOP = Path(__file__).resolve().parents[2]
ENTRY = Compiled("op.x", b"object" * 100, b"bitcode", "h.x", "plain", ("translate",))


@pytest.fixture
def stored(tmp_path):
    kept = Cache(tmp_path / "key")
    kept.put("op.x", ENTRY)
    return kept


def test_what_was_put_is_got(stored):
    assert Cache(stored.directory).get("op.x") == ENTRY
    assert stored.get("op.y") is None


@pytest.mark.parametrize("damage", [
    lambda blob: b"",
    lambda blob: blob[:20],
    lambda blob: blob[:-1],
    lambda blob: blob[:40] + bytes((blob[40] ^ 1,)) + blob[41:],
    lambda blob: bytes((blob[0] ^ 1,)) + blob[1:],
    lambda blob: blob + b"\0",
    lambda blob: b"\0" * len(blob),
], ids=("empty", "no digest", "truncated", "bit in payload", "bit in digest", "longer", "zeros"))
def test_a_damaged_file_is_absent_and_goes_away(stored, damage):
    path = stored.directory / "op.x"
    path.write_bytes(damage(path.read_bytes()))
    assert stored.get("op.x") is None
    assert not path.exists()
    stored.put("op.x", ENTRY)
    assert stored.get("op.x") == ENTRY


def test_a_verified_file_that_is_no_entry_is_absent(stored):
    payload = b"not marshal data"
    (stored.directory / "op.x").write_bytes(hashlib.sha256(payload).digest() + payload)
    assert stored.get("op.x") is None


def test_another_key_is_another_directory(stored):
    assert Cache(stored.directory.parent / "other").get("op.x") is None


def test_the_key_depends_on_sources_and_is_stable(monkeypatch, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    first = cache.fingerprint()
    assert cache.fingerprint() == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert cache.fingerprint() != first


def test_the_key_depends_on_the_host_cpu(monkeypatch):
    first = cache.fingerprint()
    monkeypatch.setattr(cache.llvm, "get_host_cpu_name", lambda: "another")
    assert cache.fingerprint() != first


def test_a_directory_that_cannot_be_made_stores_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    kept = Cache(tmp_path / "file" / "key")
    kept.put("op.x", ENTRY)
    assert not kept.usable and kept.get("op.x") is None


def test_a_directory_that_vanishes_is_no_error(stored):
    for file in stored.directory.iterdir():
        file.unlink()
    stored.directory.rmdir()
    stored.put("op.x", ENTRY)
    assert stored.get("op.x") is None


def test_no_temporary_file_stays(stored):
    assert [path.name for path in stored.directory.iterdir()] == ["op.x"]


def test_old_versions_are_pruned_and_the_newest_kept(tmp_path):
    for age in range(10):
        old = tmp_path / f"old{age}"
        old.mkdir()
        os.utime(old, (1000 - age, 1000 - age))
    Cache(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", *(f"old{n}" for n in range(cache.KEEP))]


RUN = """
from jit.compiler import Compiler
compiler = Compiler(help_wanted=False)
print(compiler.address("add.64") != 0, compiler.built)
"""


def run(directory, wait=True):
    environment = dict(os.environ, STRATA_CACHE=str(directory), STRATA_COMPILE_AHEAD="0", PYTHONPATH=str(TOP))
    child = subprocess.Popen([sys.executable, "-c", RUN], cwd=TOP, env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return finish(child) if wait else child


def finish(child):
    out, error = child.communicate(timeout=120)
    assert child.returncode == 0, error
    loaded, built = out.split()
    assert loaded == "True"
    return int(built)


def test_two_processes_compile_the_same_at_once(tmp_path):
    """Both get their code from an empty directory, and leave one that a third takes everything from; once every file
    is damaged, everything is built again."""
    first, second = run(tmp_path, False), run(tmp_path, False)
    assert finish(first) + finish(second) > 0
    assert run(tmp_path) == 0
    files = list(tmp_path.glob("*/[!.]*"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-7])
    assert run(tmp_path) == len(files)


def test_a_claim_is_held_by_one_process_and_dies_with_it(tmp_path):
    """Only one process compiles a function at a time; a claim whose process is gone counts for nothing."""
    cache = Cache(tmp_path / "x")
    assert cache.claim("op.add.64")
    assert not cache.claim("op.add.64")
    cache.release("op.add.64")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "x" / ".claim-op.add.64").write_text(str(gone.pid))
    assert cache.wait("op.add.64") is None
    assert cache.claim("op.add.64")


def test_a_process_asks_for_help_once_even_if_others_compile_everything(monkeypatch):
    class Busy:
        """Another process has whatever is asked for."""

        def claim(self, key):
            return False

        def wait(self, key):
            return key

    started = []
    monkeypatch.setattr(warm, "start", lambda: started.append(1))
    compiler = Compiler.__new__(Compiler)
    compiler.help_wanted, compiler.cache = True, Busy()
    assert [compiler._compile(key, None) for key in ("op.a", "op.b")] == ["op.a", "op.b"]
    assert started == [1]


def test_a_warm_start_imports_no_numba():
    """Half of such a start would go by importing it."""
    run = ("import sys; from emu import Machine; m = Machine(); m.load('firmware/build/hello.elf'); m.run(); "
           "print('numba' in sys.modules)")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "False"
