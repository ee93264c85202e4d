"""The peers run the loops and agree; the measurement subtracts start-up and refuses wrong answers."""
import json
import sys
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import pytest

from tools.bench import cpu, peers, plot
from tools.bench.loops import LOOPS
from tools.bench.measure import Speed, speed

each_loop = pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)


@pytest.mark.qemu
@each_loop
@pytest.mark.parametrize("icount", [False, True], ids=["tcg", "icount"])
def test_qemu_agrees_with_the_model(loop, icount):
    assert peers.Qemu(icount).run(loop, 300)[0] == loop.model(300)


@each_loop
def test_unicorn_agrees_with_the_model(loop):
    if why := peers.Unicorn.missing():
        pytest.skip(why)
    if "avx2" in loop.needs:                    # which Unicorn does not have
        with pytest.raises(peers.PeerError, match="Invalid instruction"):
            peers.Unicorn().run(loop, 1)
        return
    iterations = min(3000, 1_000_000 // loop.per_iteration)
    assert peers.Unicorn().run(loop, iterations)[0] == loop.model(iterations)


class Clockwork:
    """A runner of exactly known speed: `mips`, after `startup` seconds; `wrong` is added to each result."""

    name = "clockwork"

    def __init__(self, mips=100.0, startup=3.0, wrong=0):
        self.mips, self.startup, self.wrong = mips, startup, wrong
        self.slept = 0.0

    def run(self, loop, iterations):
        seconds = self.startup + loop.instructions(iterations) / self.mips / 1e6
        self.slept += seconds
        return (loop.model(iterations) if iterations <= 1000 else 0) + self.wrong, seconds


@each_loop
@pytest.mark.parametrize("mips", [80.0, 9000.0])
def test_speed_is_right_whatever_the_start_up(loop, mips):
    found = speed(Clockwork(mips), loop, target=0.5)
    assert found.mips == pytest.approx(mips, rel=1e-6)
    assert 0.25 <= found.seconds <= 2


def test_a_wrong_result_is_refused():
    with pytest.raises(peers.PeerError, match="clockwork: alu-mix gave 0x.* after 1,000 iterations"):
        speed(Clockwork(wrong=1), LOOPS[1], target=0.01)


def test_a_wrong_result_of_the_timed_run_is_refused():
    with pytest.raises(peers.PeerError, match="not 0x5"):
        speed(Clockwork(), LOOPS[1], 0.01, reference=SimpleNamespace(run=lambda loop, n: (5, 0.0)))


class HonestMachine:
    """Strata's machine as the benchmark uses it, computing the result by the model."""

    extra = 60

    def __init__(self, engine="auto", serial_out=None, **options):
        self.serial_out = serial_out

    def load(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.iterations = int.from_bytes(data[0x2020:0x2028], "little")
        self.loop = next(loop for loop in LOOPS if data[0x1200:].startswith(loop.code))

    def run(self):
        self.serial_out(peers.Native().run(self.loop, self.iterations)[0].to_bytes(8, "little"))
        self.icount = self.loop.instructions(self.iterations) + self.extra
        return SimpleNamespace(reason="exit", message="")


@pytest.fixture
def machine(monkeypatch):
    if why := peers.Native.missing():
        pytest.skip(why)
    module = ModuleType("emu.machine")
    module.Machine = type("Machine", (HonestMachine,), {})
    monkeypatch.setitem(sys.modules, "emu.machine", module)
    return module.Machine


@each_loop
def test_strata_runs_the_image(machine, loop):
    assert peers.Strata("interp").run(loop, 500)[0] == loop.model(500)


@pytest.mark.parametrize("extra", [-1, 20_000])
def test_a_count_that_does_not_agree_is_refused(machine, extra):
    machine.extra = extra
    with pytest.raises(peers.PeerError, match="counted"):
        peers.Strata("interp").run(LOOPS[0], 500)


def test_a_guest_that_crashes_is_refused(machine):
    machine.run = lambda self: SimpleNamespace(reason="triple-fault", message="at RIP 0x100040")
    with pytest.raises(peers.PeerError, match="triple-fault: at RIP 0x100040"):
        peers.Strata("interp").run(LOOPS[0], 500)


def test_bench_cpu_writes_json_and_svg(machine, tmp_path, capsys):
    out, chart = tmp_path / "cpu.json", tmp_path / "cpu.svg"
    assert cpu.main(["--vs", "native", "--engine", "interp", "--seconds", "0.01", "--json", str(out), "--plot",
                     str(chart)]) == 0
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == [loop.name for loop in LOOPS]
    for row in rows:
        assert {"name", "engine", "instructions", "seconds", "mips", "ratio"} <= set(row)
        assert row["mips"] == pytest.approx(row["instructions"] / row["seconds"] / 1e6, rel=0.01)
        assert row["ratio"]["native"] == pytest.approx(row["mips"] / row["peers"]["native"], rel=0.01)
    assert ElementTree.parse(chart).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "load-store" in capsys.readouterr().out


def test_bench_cpu_says_which_measurement_failed(machine, capsys):
    machine.extra = -1
    assert cpu.main(["--vs", "none", "--engine", "auto", "--loop", "fib", "--seconds", "0.01"]) == 125
    assert "auto: counted" in capsys.readouterr().err


def test_a_missing_peer_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(peers.shutil, "which", lambda program: None)
    monkeypatch.setitem(sys.modules, "unicorn", None)
    found, missing = peers.available({"qemu", "unicorn"})
    assert found == []
    assert "apt-get install qemu-system-x86" in missing[0] and "pip install unicorn" in missing[1]


@pytest.mark.parametrize("options", [["--vs", "bochs"], ["--engine", "jit"], ["--seconds", "0"], ["--loop", "w1"],
                                     ["--json", "/nonexistent/f"]])
def test_bad_options_are_one_line(options, capsys):
    with pytest.raises(SystemExit) as stop:
        cpu.main(options)
    assert stop.value.code == 126 and capsys.readouterr().err.count("\n") == 1


def test_row_of_the_json_result():
    row = cpu.row(LOOPS[0], "auto", Speed(2_000_000, 0.01), {"qemu": Speed(1_000_000, 0.01)})
    assert row == {"name": "dec-jnz", "engine": "auto", "instructions": 2_000_000, "seconds": 0.01, "mips": 200.0,
                   "ratio": {"qemu": 2.0}, "peers": {"qemu": 100.0}}


def test_bars_are_as_high_as_their_logarithms():
    svg = ElementTree.fromstring(plot.bars("a < b", "MIPS", [("one", {"x": 10, "y": 100}), ("two", {"x": 1000})]))
    drawn = {bar[0].text: float(bar.get("height")) for bar in svg if len(bar)}
    assert drawn["x: 1,000 MIPS"] == plot.PLOT
    assert drawn["y: 100 MIPS"] == plot.PLOT * 2 / 3
    assert drawn["x: 10 MIPS"] == plot.PLOT / 3


def test_a_chart_of_nothing_is_refused():
    with pytest.raises(ValueError):
        plot.bars("t", "u", [])
