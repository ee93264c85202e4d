"""`strata run`: exit statuses, streams, the JSON result, and bad input, on a stand-in for the engine."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import run

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def no_input(monkeypatch):
    """The tests' own standard input is none of the guest's business."""
    monkeypatch.setattr("tools.cli.session.feed", lambda fd, receive: None)
    monkeypatch.setattr("tools.cli.session.reads_keys", lambda fd: False)


@pytest.mark.parametrize("value, status", [(0, 1), (3, 7), (127, 255), (128, 1)])
def test_guest_exit_status(engine, guest, value, status):
    assert run.main([guest(f"exit {value}")]) == status


def test_streams_are_kept_apart(engine, guest, capfdbinary):
    run.main([guest("exit 0")])
    captured = capfdbinary.readouterr()
    assert captured.out == b"hello\n"
    assert captured.err == b"debug port\n"


def test_unfinished_last_line_is_not_lost(engine, guest, capfdbinary):
    run.main([guest("pieces")])
    assert capfdbinary.readouterr().out == b"no newline"


@pytest.mark.parametrize("text, status, says", [("crash", 125, "triple fault"), ("limits", 124, "out of instructions")])
def test_other_ends_say_why_in_one_line(engine, guest, capfd, text, status, says):
    assert run.main([guest(text)]) == status
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and says in err


def test_limits_reach_the_machine(engine, guest, capfd):
    run.main([guest("limits"), "--max-insns", "1e6", "--timeout", "2.5"])
    assert "{'max_insns': 1000000, 'timeout': 2.5}" in capfd.readouterr().err


def test_options_reach_the_machine(engine, guest, monkeypatch):
    made = []
    monkeypatch.setattr(engine.FakeMachine, "_exit", lambda self, v: made.append(self) or self._stop("exit", 1))
    path = guest("exit 0")
    run.main([path, "--mem", "64M", "--vcpus", "2", "--planes", "vsm", "--policy", "lowest-runnable", "--engine",
              "interp", "--seed", "9", "--quantum", "500", "--load", "0x7c00", "--mode", "16", "--kind", "flat",
              "--append", "a b", "--initrd", path, "--test-device", "--paravirt", "kvm"])
    assert made[0].options == dict(memory=64 << 20, vcpus=2, planes="vsm", policy="lowest-runnable", engine="interp",
                                   seed=9, quantum=500, test_device=True, paravirt="kvm")
    assert made[0].loaded == dict(path=path, kind="flat", load_address=0x7c00, mode=16, initrd=path, append="a b",
                                  bios=None, vtl1=None, vtl2=None)


def test_kinds_are_those_of_the_loader():
    image = pytest.importorskip("emu.load.image")
    assert run.KINDS == ("auto", *image.KINDS)


def test_a_rom_needs_no_image(engine, guest):
    assert run.main(["--bios", guest("exit 0")]) == 1


def test_json_has_what_scripts_rely_on(engine, guest, tmp_path):
    out = tmp_path / "result.json"
    run.main([guest("switch 2"), "--planes", "vsm", "--json", str(out)])
    result = json.loads(out.read_text())
    assert (result["status"], result["reason"], result["engine"]) == (1, "exit", "auto")
    assert (result["instructions"], result["seconds"]) == (1000, 0.25)
    assert result["image"].endswith("guest.elf") and result["planes"] == "vsm"
    assert result["switches"][0] == {
        "icount": 5000, "vcpu": 0, "from": 0, "to": 1, "cause": "HvCallVtlCall", "rip_from": 0x1000be,
        "rip_to": 0xffff800000201000, "registers": ["RIP", "RSP", "RFLAGS", "CR3"]}
    assert len(result["switches"]) == 4


def test_json_without_switches(engine, guest, tmp_path):
    out = tmp_path / "result.json"
    run.main([guest("exit 0"), "--json", str(out)])
    assert json.loads(out.read_text())["switches"] == []


def test_json_takes_numpy_numbers(tmp_path):
    numpy = pytest.importorskip("numpy")
    from tools.cli.result import write
    write(str(tmp_path / "r"), {"rip": numpy.uint64(2 ** 64 - 1), "switches": [{"icount": numpy.int64(3)}]})
    assert json.loads((tmp_path / "r").read_text()) == {"rip": 2 ** 64 - 1, "switches": [{"icount": 3}]}


def test_bad_image_is_one_line_and_in_the_json(engine, guest, tmp_path, capfd):
    out = tmp_path / "result.json"
    assert run.main([guest("bad"), "--json", str(out)]) == 126
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "guest.elf: e_phoff" in err
    result = json.loads(out.read_text())
    assert (result["status"], result["reason"]) == (126, "bad-input")


def test_report_goes_to_standard_error(engine, guest, capfd):
    run.main([guest("switch 20"), "--planes", "vsm", "--report"])
    captured = capfd.readouterr()
    assert captured.out == "" and "VTL0 -> VTL1" in captured.err


@pytest.mark.parametrize("options, says", [
    ([], "nothing to run"),
    (["/nonexistent/x.elf"], "no such file"),
    (["/"], "is a directory"),
    (["GUEST", "--bios", "/nonexistent"], "--bios /nonexistent: no such file"),
    (["GUEST", "--json", "-"], "standard output is the guest's"),
    (["GUEST", "--json", "/nonexistent/r.json"], "no such directory"),
    (["GUEST", "--json", "/"], "is a directory"),
    (["GUEST", "--trace", "-"], "standard output is the guest's"),
    (["GUEST", "--trace", "/tmp/t"], "records no traces"),
    (["GUEST", "--planes", "snp"], "available: none, vsm"),
    (["GUEST", "--vtl1", "GUEST"], "needs --planes vsm"),
    (["GUEST", "--planes", "vsm", "--vtl1", "/nonexistent"], "--vtl1 /nonexistent: no such file"),
    (["GUEST", "--vtl2", "GUEST"], "needs --planes vsm"),
    (["GUEST", "--planes", "vsm", "--vtl2", "/nonexistent"], "--vtl2 /nonexistent: no such file"),
    (["GUEST", "--planes", "vsm", "--policy", "best"], "policies: lowest-runnable"),
    (["GUEST", "--policy", "lowest-runnable"], "choose a design with --planes"),
    (["GUEST", "--cpu", "z80"], "no CPU model named 'z80'; there are: max"),
    (["GUEST", "--mem", "1M", "--load", "0x100000"], "beyond the end of RAM"),
    (["--bios", "GUEST", "--mode", "16"], "there is no IMAGE"),
])
def test_bad_input_is_one_line_and_126(engine, guest, capfd, options, says):
    path = guest("exit 0")
    assert run.main([path if word == "GUEST" else word for word in options]) == 126
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("strata: ") and says in captured.err


@pytest.mark.parametrize("options", [
    ["--mem", "lots"], ["--mem"], ["--vcpus", "0"], ["--planes", "tdx"], ["--mode", "8"], ["--engine", "fast"],
    ["--max-insns", "0"], ["--timeout", "-1"], ["--bogus"], ["--max", "3"],
])
def test_bad_options_are_one_line_and_126(capsys, options):
    with pytest.raises(SystemExit) as stop:
        run.main(["image", *options])
    assert stop.value.code == 126
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("strata run: ")


def test_planes_that_the_engine_does_not_declare(guest, monkeypatch, capfd):
    """An engine without a list of designs has none but "none"."""
    monkeypatch.setattr("tools.cli.available.names", lambda module, attribute: ())
    assert run.main([guest("exit 0"), "--planes", "vsm"]) == 126
    assert "available: none" in capfd.readouterr().err


def test_a_reader_that_goes_away_stops_the_run(guest):
    process = subprocess.Popen([sys.executable, "-m", "tests.fakes.machine", "run", guest("echo")], cwd=TOP,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    process.stdin.write(b"x\n" * 10)
    process.stdin.flush()
    _, err = process.communicate(timeout=20)
    assert b"Traceback" not in err and b"standard output was closed" in err
