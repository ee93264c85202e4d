"""The speeds that Strata aims at, measured beside the peers in the same run."""
import pytest

from tools.bench import cpu, peers
from tools.bench.loops import INTEGER_LOOPS

INTERPRETER_MIPS = 80
LEAST_RATIO = {"unicorn": 1.0, "qemu-icount": 1.0}      # of `auto` to the peer


@pytest.fixture(scope="module", params=INTEGER_LOOPS, ids=lambda loop: loop.name)
def measured(request):
    """One loop: its speeds in Strata's engines, and in the peers that are here."""
    pytest.importorskip("emu.machine")
    found, _ = peers.available({"qemu", "unicorn"})
    engines = [peers.Strata(name) for name in cpu.ENGINES]
    return cpu.measure(engines, request.param, 0.5), cpu.measure(found, request.param, 0.5)


@pytest.mark.bench
def test_interpreter(measured):
    assert measured[0]["interp"].mips >= INTERPRETER_MIPS


@pytest.mark.bench
def test_auto_beside_the_peers(measured):
    at_engines, at_peers = measured
    ratios = {name: at_engines["auto"].mips / at_peers[name].mips for name in LEAST_RATIO if name in at_peers}
    assert ratios, "neither QEMU nor Unicorn is here"
    assert {name: ratio for name, ratio in ratios.items() if ratio < LEAST_RATIO[name]} == {}
