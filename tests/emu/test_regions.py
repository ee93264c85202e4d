"""The thread that compiles hot code, apart from what it compiles (tests/jit/test_regions.py)."""
import ctypes
import gc
import queue
import subprocess
import sys
import threading

import pytest

from emu import regions
from jit import layout, uops
from tests.jit.bare import CODE, fresh, put


@pytest.fixture
def worker(monkeypatch):
    """A worker whose compilations take until `go` is set; `begun` is set when one starts."""
    go, begun = threading.Event(), threading.Event()

    def compile_region(compiler, plan, symbol, builder, emitter):
        begun.set()
        assert go.wait(10)
        return plan

    monkeypatch.setattr(regions, "compile_region", compile_region)
    worker = regions.Worker(None, queue.SimpleQueue(), queue.SimpleQueue())
    worker.start()
    yield worker, begun, go
    go.set()
    worker.stop()


def job(code: bytes) -> regions.Job:
    return regions.Job(code, 0, 0, "region")


def test_stop_waits_for_what_has_begun_and_drops_the_rest(worker):
    thread, begun, go = worker
    for code in (b"first", b"second"):
        thread.jobs.put(job(code))
    assert begun.wait(10)
    stopping = threading.Thread(target=thread.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive() and thread.is_alive()
    go.set()
    stopping.join(10)
    assert not thread.is_alive()
    assert thread.done.get_nowait()[1] == b"first"
    assert thread.done.empty()


def test_a_process_that_ends_waits_for_the_compilation_that_runs():
    """Else LLVM's globals would go while it uses them."""
    script = """
import queue, time
from emu import regions
def compile_region(compiler, plan, symbol, builder, emitter):
    time.sleep(0.3)
    print("compiled", flush=True)
regions.compile_region = compile_region
class Compiler:
    mode = "auto"
    compiler = None
    def address(self, name): return 0
Compiler.compiler = Compiler()
hot = regions.Regions(Compiler())
hot.start()
hot._jobs.put(regions.Job(None, 0, 0, "region"))
time.sleep(0.1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "compiled\n", "")


def test_regions_that_nobody_holds_end_their_thread():
    engine = type("Engine", (), {"mode": "auto", "compiler": type("Compiler", (), {"address": lambda self, n: 0})()})()
    before = set(threading.enumerate())
    hot = regions.Regions(engine)
    hot.start()
    worker, = set(threading.enumerate()) - before
    del hot
    gc.collect()
    worker.join(10)
    assert not worker.is_alive()


def test_while_many_wait_a_hot_micro_op_is_told_to_ask_again(monkeypatch):
    bare = fresh("auto")
    put(bare, "ffc0ebfc")                               # inc eax; jmp back
    bare.engine.translator.decode(CODE, bare.plane.get(layout.MODE), None)
    uop = bare.engine.translator.pages[CODE][0].table[0]
    heat = ctypes.c_uint8.from_address(uop + uops.HEAT)
    heat.value = 6
    monkeypatch.setattr(bare.engine.regions, "_pending", regions.MAX_WAITING)
    bare.engine.regions.hot(uop, CODE, bare.plane.get(layout.MODE))
    assert heat.value == 0 and bare.engine.regions._pending == regions.MAX_WAITING
