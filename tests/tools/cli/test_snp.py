"""`strata snp`: measurements, and one line for whatever is wrong."""

import json

import pytest

from emu.load.image import load_bytes
from emu.load.model import Request
from emu.planes.snp import measurement
from tests.emu.load.build import multiboot_elf
from tests.emu.load.build_igvm import every_header, small
from tests.emu.load.test_ovmf import rom
from tools.cli import scenarios, snp, snp_attacks


def test_the_measurement_of_an_igvm_file(tmp_path, capsys):
    file = tmp_path / "small.igvm"
    file.write_bytes(small())
    assert snp.main(["measure", str(file)]) == 0
    launch = load_bytes("igvm", Request("f", small(), 64 << 20)).launch
    assert capsys.readouterr().out == measurement.launch_digest(launch.pages).hex() + "\n"


def test_pages_and_json(tmp_path, capsys):
    file = tmp_path / "small.igvm"
    file.write_bytes(small())
    assert snp.main(["measure", str(file), "--json", "--pages"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"normal": 1, "vmsa": 1} and found["policy"] == 0x30000 and found["expected"] is None
    assert [page["gpa"] for page in found["pages"]] == [0x201000, 0x203000]
    assert found["pages"][-1]["digest"] == found["measurement"]
    assert snp.main(["measure", str(file), "--pages"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("0x000000201000 normal") and lines[1].endswith(lines[2])


def test_an_id_block_that_expects_another_measurement(tmp_path, capsys):
    file = tmp_path / "all.igvm"
    file.write_bytes(every_header())
    assert snp.main(["measure", str(file)]) == 1
    err = capsys.readouterr().err
    assert (b"D" * 48).hex() in err and err.count("\n") == 1


def test_firmware_depends_on_the_vcpus(tmp_path, capsys):
    file = tmp_path / "ovmf.fd"
    file.write_bytes(rom())
    found = set()
    for options in ([], ["--vcpus", "2"], ["--signature", "0x800f12"], ["--features", "0x21"], ["--cpu", "EPYC-Genoa"]):
        assert snp.main(["measure", str(file), *options]) == 0
        found.add(capsys.readouterr().out)
    assert len(found) == 5


def test_packing_keeps_the_measurement(tmp_path, capsys):
    for name, data in (("program.elf", multiboot_elf()), ("all.igvm", small())):
        (tmp_path / name).write_bytes(data)
        assert snp.main(["measure", str(tmp_path / name)]) == 0
        assert snp.main(["pack", str(tmp_path / name), "--output", str(tmp_path / "out.igvm")]) == 0
        assert snp.main(["measure", str(tmp_path / "out.igvm")]) == 0
        first, second = capsys.readouterr().out.split()
        assert first == second and len(first) == 96


def test_what_goes_with_a_kernel_is_measured(tmp_path, capsys):
    (tmp_path / "kernel.elf").write_bytes(multiboot_elf())
    (tmp_path / "module").write_bytes(b"a module")
    seen = []
    for more in ([], ["--append", "quiet"], ["--initrd", str(tmp_path / "module")], ["--append", "quiet"]):
        assert snp.main(["measure", str(tmp_path / "kernel.elf"), *more]) == 0
        seen.append(capsys.readouterr().out)
    assert len(set(seen)) == 3 and seen[1] == seen[3]
    assert snp.main(["measure", str(tmp_path / "kernel.elf"), "--initrd", str(tmp_path / "none")]) == 126
    err = capsys.readouterr().err
    assert "none: " in err and err.count("\n") == 1


@pytest.mark.parametrize("arguments, words", [
    (["measure", "/nonexistent"], "No such file"), (["weigh", "x"], "invalid choice"),
    (["measure", "x", "--vcpus", "0"], "1 to 255"), (["pack", "x"], "--output"),
    (["measure", "x", "-o", "y"], "--output"),
    (["measure", "x", "--features", "x"], "64-bit"), ([], "required"), (["measure"], "one FILE"),
    (["attacks", "x"], "one FILE")])
def test_bad_input_is_one_line(arguments, words, capsys):
    try:
        status = snp.main(arguments)
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert status == 126 and words in err and err.count("\n") == 1


def test_files_of_neither_kind_and_unknown_models(tmp_path, capsys):
    file = tmp_path / "zeros"
    file.write_bytes(bytes(0x10000))
    assert snp.main(["measure", str(file)]) == 126
    assert "SEV metadata" in capsys.readouterr().err
    assert snp.main(["measure", str(file), "--cpu", "z80"]) == 126
    assert capsys.readouterr().err.count("\n") == 1


TESTS_OF_ATTACKS = '''
def test_t7_one():
    """Does this. | **Not noticed**: for
    a reason."""
    assert True

def test_two():
    """Does that. | It fails."""
    assert False

def test_three():
    """No attack."""
'''


@pytest.fixture
def attack_tests(tmp_path, monkeypatch):
    file = tmp_path / snp_attacks.TESTS
    file.parent.mkdir(parents=True)
    file.write_text(TESTS_OF_ATTACKS)
    monkeypatch.setattr(snp_attacks, "ROOT", tmp_path)
    monkeypatch.setattr(scenarios, "ROOT", tmp_path)
    return tmp_path


def test_attacks_and_their_results(attack_tests, capsys):
    assert snp.main(["attacks", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["scenario"], row["attack"], row["outcome"], row["result"]) for row in rows] == [
        ("t7", "Does this.", "**Not noticed**: for a reason.", "passed"), ("", "Does that.", "It fails.", "failed")]
    assert snp.main(["attacks", "--no-run"]) == 0
    assert "Not noticed" in capsys.readouterr().out


def test_the_table_goes_between_the_marks(attack_tests, capsys):
    page = attack_tests / "page.md"
    page.write_text(f"before\n{snp_attacks.BEGIN}old\n{snp_attacks.END}after\n")
    assert snp.main(["attacks", "--no-run", "--table", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| T7 | Does this. | **Not noticed**: for a reason. | not run |" in text
    page.write_text("nothing")
    assert snp.main(["attacks", "--no-run", "--table", str(page)]) == 126
    assert snp.main(["attacks", "--no-run", "--table", str(attack_tests / "none.md")]) == 126
    assert capsys.readouterr().err.count("\n") == 2


def test_docs_have_the_attacks_that_the_tests_show():
    page = (snp_attacks.ROOT / "docs" / "snp.md").read_text(encoding="utf-8")
    table = snp_attacks.markdown([row._replace(result="passed") for row in snp_attacks.attacks(run=False)])
    assert snp_attacks.BEGIN + table + snp_attacks.END in page, "write it again: strata snp attacks --table docs/snp.md"
