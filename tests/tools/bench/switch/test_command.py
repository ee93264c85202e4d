"""`strata bench switch`: its options, tables, files and exit statuses."""
import json
import re
from xml.etree import ElementTree

import pytest

from tools.bench.switch import baseline, main, measure

CALLS = ["--planes", "vsm", "--task", "call", "--no-host"]
STEP = re.compile(r"\d+ \S+: \S.*")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Results and chart of two designs."""
    directory = tmp_path_factory.mktemp("switch")
    assert main.main(["--task", "call", "--no-host", "--json", str(directory / "r.json"), "--plot",
                      str(directory / "r.svg"), "--sensitivity"]) == 0
    return directory


def test_results_are_complete(written):
    data = json.loads((written / "r.json").read_text())
    assert [each["name"] for each in data["paths"]][:2] == ["vsm/ms/call", "kvm/USER/call"]
    for path in data["paths"]:
        assert all(STEP.fullmatch(step) for step in path["path"])
        assert [(each["fpu"], each["tlb"]) for each in path["variants"]] == [
            ("shared", "warm"), ("shared", "cold"), ("separate", "warm"), ("separate", "cold")]
        for variant in path["variants"]:
            assert variant["counts"]["instructions"] == len(path["path"])
            for cycles in variant["cycles"].values():
                assert cycles["total"] == pytest.approx(sum(cycles["causes"].values()), abs=0.1)
                assert cycles["total"] == pytest.approx(sum(cycles["prices"].values()), abs=0.1)
    assert set(data["costs"]) == {"hyperv", "kvm-userspace", "zen4-snp"}
    assert all(("source" in each) != ("assumption" in each) for each in data["costs"]["hyperv"]["prices"].values())
    assert data["sensitivity"] and {"first", "second", "more", "flips"} <= data["sensitivity"][0].keys()


def test_the_chart_is_xml_with_every_path_and_cause(written):
    tree = ElementTree.fromstring((written / "r.svg").read_text())
    texts = {each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"vsm/ms/call", "kvm/USER/call", "world switch", "userspace exit", "kvm/MPP(0)"} <= texts
    tips = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert any(re.fullmatch(r"kvm/USER, call: [\d,]+", tip) for tip in tips)


def test_tables_name_counts_causes_and_what_decides(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main.main(["--task", "call", "--no-host", "--sensitivity", "vsm/ms:kvm/USER"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("vsm/ms/call"))
    assert row.split()[1:8] == ["13", "7", "2", "2", "0", "0", "8"]
    for word in ("world", "VMM", "msrs", "sched", "assumptions", "Sensitivity: call", "before kvm/USER"):
        assert word in out


def test_price_lists_that_are_named_apply_to_every_design(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main.main([*CALLS, "--costs", "zen4-snp", "--fpu", "separate", "--tlb", "cold"]) == 0
    out = " ".join(capsys.readouterr().out.split())         # titles are as wide as their tables
    assert "(zen4-snp)" in out and "separate FPU, cold TLB" in out


@pytest.mark.parametrize("options, says", [
    (["--policy", "LOWEST"], "--policy LOWEST: no such policy (for vsm: ms; for kvm: USER, "),
    (["--planes", "kvm", "--task", "call-normal"], "--task call-normal: --planes kvm has no such path"),
    (["--costs", "cheap"], "costs 'cheap': neither a file nor one of"),
    (["--json", "/nowhere/r.json"], "--json /nowhere/r.json: no such directory"),
    (["--plot", "/nowhere/r.svg"], "--plot /nowhere/r.svg: no such directory"),
    (["--sensitivity", "vsm/ms"], "--sensitivity vsm/ms: must be two of vsm/ms, kvm/USER, "),
    (["--sensitivity", "vsm/ms:vsm/ms"], "must be two of"),
    (["--baseline", "/nowhere"], "--baseline /nowhere: "),
])
def test_bad_options_are_one_line(capsys, options, says):
    with pytest.raises(SystemExit) as ended:
        main.main(options)
    assert ended.value.code == 126
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def kept(written, change, tmp_path):
    """A baseline with a change."""
    data = json.loads((written / "r.json").read_text())
    change(data["paths"][0])
    path = tmp_path / "base.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_an_unchanged_baseline_passes(written, capsys):
    assert main.main([*CALLS, "--baseline", str(written / "r.json")]) == 0
    assert capsys.readouterr().err.strip() == ""


def test_one_more_instruction_fails_and_says_where(written, tmp_path, capsys):
    def before(path):                           # the service did not set ECX
        assert path["path"].pop(7) == "1 service_fast: mov ecx,1"
    assert main.main([*CALLS, "--baseline", kept(written, before, tmp_path)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("strata: vsm/ms/call: 13 instructions, 12 in ")
    assert line.endswith("new is mov ecx,1 at service_fast in plane 1, number 8 of the path, "
                         "after jmp qword ptr [103000h] at service_fast+0xc")


def test_addresses_that_moved_are_no_difference():
    old = ["0 a: call 0000000000100366h", "0 a+0x5: mov eax,[103018h]"]
    new = [(0, "a", "call 0000000000200366h"), (0, "b", "nop"), (0, "a+0x6", "mov eax,[203018h]")]
    assert baseline.first_new(old, new).startswith("new is nop at b in plane 0, number 2 of the path")


def test_another_count_that_grew_fails(written, tmp_path, capsys):
    def before(path):
        path["variants"][1]["counts"]["walk_steps"] -= 1
    assert main.main([*CALLS, "--baseline", kept(written, before, tmp_path)]) == 1
    assert "vsm/ms/call, shared FPU, cold TLB: 24 walk_steps, 23 in" in capsys.readouterr().err


def test_paths_that_became_shorter_or_are_new_are_only_named(written, tmp_path, capsys):
    assert main.main([*CALLS, "--baseline", kept(written, lambda path: path["path"].append("0 x: nop"), tmp_path)]) == 0
    assert "13 instructions, 14 in" in capsys.readouterr().err
    assert main.main([*CALLS, "--baseline", kept(written, lambda path: path.update(name="x"), tmp_path)]) == 0
    assert "vsm/ms/call: not in " in capsys.readouterr().err


@pytest.mark.parametrize("text, says", [
    ("{", "--baseline "), ("[]", "version: must be 1"),
    ('{"version": 1, "paths": [3]}', "paths[0].name: must be a text"),
    ('{"version": 1, "paths": [{"name": "x", "path": ["nop"], "variants": []}]}', "paths[0].path: must be a list of"),
    ('{"version": 1, "paths": [{"name": "x", "path": [], "variants": [{}]}]}', "paths[0].variants: each must have"),
])
def test_a_damaged_baseline_is_named_in_one_line(tmp_path, text, says):
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        baseline.read(str(path))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_host_time_is_shown_unless_it_is_left_out(capsys, monkeypatch):
    for constant, value in (("SAMPLES", 5), ("BATCH", 20), ("WARM_UP", 100), ("WARM_UP_SECONDS", 0.0)):
        monkeypatch.setattr(measure, constant, value)
    call = ["--planes", "vsm", "--task", "call"]
    assert main.main(call) == 0
    table = capsys.readouterr().out.split("Host nanoseconds a round")[1].splitlines()
    row = next(line for line in table if line.startswith("vsm/ms/call"))
    assert all(int(word.replace(",", "")) > 0 for word in row.split()[1:])
    assert main.main([*call, "--no-host"]) == 0
    assert "Host nanoseconds" not in capsys.readouterr().out
