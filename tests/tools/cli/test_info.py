"""`strata info`: lists what the engine declares; `strata demo` finds its guest."""
import json
import sys
from types import ModuleType

import pytest

from tools.cli import available, demo, info, scenarios


@pytest.fixture
def declared(engine, monkeypatch):
    devices = ModuleType("emu.dev")
    devices.DEVICES = {f"device{n:02}": object() for n in range(20)}
    monkeypatch.setitem(sys.modules, "emu.dev", devices)


def test_json_has_every_section(declared, capsys):
    assert info.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {*info.SECTIONS, "guests"}
    assert found["planes"] == ["none", "vsm"] and len(found["devices"]) == 20


def test_a_long_list_is_shortened_unless_asked_for(declared, capsys):
    info.main([])
    assert "device19" not in capsys.readouterr().out
    info.main(["devices"])
    assert "device19" in capsys.readouterr().out


def test_unknown_section_is_one_line_that_lists_them(capsys):
    with pytest.raises(SystemExit) as stop:
        info.main(["colours"])
    err = capsys.readouterr().err
    assert stop.value.code == 126 and err.count("\n") == 1 and "devices" in err


def test_a_module_that_is_there_but_broken_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "broken_part.py").write_text("import something_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_that_is_not_there"):
        available.names("broken_part", "LIST")
    assert available.names("no_such_part", "LIST") == ()


@pytest.mark.parametrize("text, status", [("switch 1000", 0), ("exit 1", 3), ("crash", 125)])
def test_demo_passes_if_the_guest_did(engine, guest, monkeypatch, capfd, text, status):
    from pathlib import Path
    monkeypatch.setattr(demo, "guest", lambda: Path(guest(text)))
    monkeypatch.setattr("tools.cli.session.feed", lambda fd, receive: None)
    assert demo.main([]) == status
    assert "What ran" in capfd.readouterr().out


def test_demo_without_its_guest_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(demo, "guest", lambda: None)
    assert demo.main([]) == 126
    assert "make firmware" in capsys.readouterr().err


def test_cpu_models_are_listed(capsys):
    assert info.main(["--cpu", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"max", "qemu64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "EPYC-Milan", "EPYC-Genoa", "Skylake-Server",
            "SapphireRapids"} <= set(found)
    assert found["Skylake-Server"]["vendor"] == "GenuineIntel" and found["max"]["lacking"] == 0
    info.main(["--cpu", "list"])
    assert "EPYC-Milan" in capsys.readouterr().out


def test_one_model_says_what_it_offers_and_what_is_lacking(capsys):
    assert info.main(["--cpu", "Skylake-Server,-bmi2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "sse4_2" in found["offered"] and {"mpx", "rtm"} <= set(found["lacking"])
    assert "bmi2" in found["can_be_added"] and "bmi2" not in found["offered"]
    info.main(["--cpu", "Skylake-Server"])
    out = capsys.readouterr().out
    assert "mpx" in out and "not implemented" in out


def test_instruction_forms_are_counted(capsys):
    assert info.main(["--forms", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extensions"]["SSE2"] == {"implemented": 167, "absent": 0, "not_yet": 0}
    assert found["extensions"]["MPX"]["absent"] == 14 and "MPX" in found["absent_because"]["withdrawn by Intel"]
    assert found["total"]["implemented"] == sum(e["implemented"] for e in found["extensions"].values()) > 2000
    info.main(["--forms"])
    assert "SSE2" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, words", [(["--cpu", "z80"], "no CPU model named 'z80'"),
                                              (["--cpu", "max", "--forms"], "exclude"),
                                              (["--forms", "devices"], "exclude")])
def test_wrong_options_are_one_line(capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        info.main(arguments)
    err = capsys.readouterr().err
    assert stop.value.code == 126 and err.count("\n") == 1 and words in err


@pytest.fixture
def scenario_table(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "t").mkdir()
    (tmp_path / "tables" / "demo.json").write_text(json.dumps(
        {"title": "Demo", "tests": "t", "prefix": "x", "scenarios": {"1": "holds", "2": "fails", "3": "nobody tests"}}))
    (tmp_path / "t" / "test_demo.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_x1_holds(n):\n    assert n\n\n"
        "def test_x2_fails():\n    assert False\n\ndef test_x12_is_another():\n    pass\n")
    monkeypatch.setattr(scenarios, "ROOT", tmp_path)
    monkeypatch.setattr(scenarios, "TABLES", tmp_path / "tables")


def test_scenarios_are_joined_with_their_tests_and_results(scenario_table, capsys):
    assert info.main(["--scenarios", "--json", "demo"]) == 1
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert {key: row["result"] for key, row in rows.items()} == {"x1": "passed", "x2": "failed", "x3": "no test"}
    assert rows["x1"]["tests"] == ["test_x1_holds"] and rows["x1"]["title"] == "holds"


def test_scenarios_need_not_be_run(scenario_table, capsys):
    assert info.main(["--scenarios", "--no-run"]) == 1          # one has no test
    out = capsys.readouterr().out
    assert "not run" in out and "no test" in out and "test_x2_fails" in out


def test_an_unknown_specification_is_one_line_that_lists_them(scenario_table, capsys):
    with pytest.raises(SystemExit) as stop:
        info.main(["--scenarios", "colours"])
    err = capsys.readouterr().err
    assert stop.value.code == 126 and err.count("\n") == 1 and "demo" in err


def test_every_scenario_of_every_table_has_a_test():
    found = scenarios.collect(scenarios.tables(), run=False)
    assert len(found) >= 270 and not [s.id for s in found if not s.tests]
