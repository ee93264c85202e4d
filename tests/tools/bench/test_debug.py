"""`strata bench debug`: it measures what it says, in a run too short to mean anything."""
import json

import iced_x86

from tools.bench import debug


def test_the_loop_is_eight_instructions_that_come_round():
    found = list(iced_x86.Decoder(64, debug.LOOP, ip=0))
    assert len(found) == 8 and found[-1].near_branch_target == 0


def test_results_are_complete(monkeypatch, tmp_path, capsys):
    for name, value in (("MEASURED", 20_000), ("WARM_UP", 2_000), ("REPEATS", 1), ("STEPS", 2_000), ("SINGLE", 5),
                        ("BACK", 1), ("SETTLED", 1)):
        monkeypatch.setattr(debug, name, value)
    path = tmp_path / "debug.json"
    assert debug.main(["--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert result["steps_per_second"] > 0 and result["reverse_step_seconds"] > 0 and len(result["overhead"]) == 8
    assert "steps seen from Python" in capsys.readouterr().out
