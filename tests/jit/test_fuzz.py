"""Random bytes as code never hang or end the process, in any mode; run in a process of its own under a time limit."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
RUN = """
import random, sys
from jit import layout
from tools.lockstep.bare import Bare
mode, bits, seed, rounds = sys.argv[1], *map(int, sys.argv[2:])
rng = random.Random(seed)
bare = Bare(mode, 1 << 18)
bare.patience = 400000         # some instructions make 90 device accesses, each an exit
ends = {}
for number in range(rounds):
    bare.ram.view[:] = rng.randbytes(1 << 18) if rng.random() < 0.5 else bytes(1 << 18)
    bare.reset()
    bare.mode(bits)
    at = rng.choice((0x1000, 0x2FF8, 0x8123))
    bare.load(at, rng.randbytes(600))
    bare.plane.set(layout.RIP, at)
    for register in range(16):
        bare.gpr(register, rng.choice((rng.getrandbits(64), rng.randrange(1 << 18), 0x3FFFC)))
    bare.gpr(4, 0x20000)
    left = 3000
    for _ in range(300):
        status = bare.run(left)
        assert bare.left() <= left
        left = bare.left()
        ends[status] = ends.get(status, 0) + 1
        if left <= 0 or not bare.skip():
            break
bare.engine.regions.close()
print(sum(ends.values()))
"""


def fuzz(mode, bits, seed, rounds, timeout):
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", RUN, mode, *map(str, (bits, seed, rounds))],
                          cwd=TOP, env=dict(os.environ, PYTHONPATH=str(TOP)), capture_output=True, text=True,
                          timeout=timeout)
    assert done.returncode == 0, f"{mode}, {bits} bits, seed {seed}: {done.stderr[-2000:]}"
    assert int(done.stdout) >= rounds


@pytest.mark.parametrize("mode, bits", [("interp", 64), ("interp", 32), ("interp", 16), ("blocks", 64), ("auto", 32)])
def test_random_bytes(mode, bits):
    fuzz(mode, bits, 1, 20, 300)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ("interp", "blocks", "auto"))
@pytest.mark.parametrize("bits", (16, 32, 64))
def test_many_random_bytes(mode, bits):
    fuzz(mode, bits, 1000, 400 if mode == "interp" else 60, 3000)
