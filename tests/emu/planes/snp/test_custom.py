"""Hypervisors from files."""

import pytest

from emu.machine import Machine
from emu.planes.snp.custom import hypervisor_class
from emu.planes.snp.hypervisor import Hypervisor
from tests.emu.planes.snp.attacked import EXAMPLES

IMPORT = "from emu.planes.snp.hypervisor import Hypervisor\n"


@pytest.mark.parametrize("path", [path for path in sorted(EXAMPLES.glob("*.py")) if path.stem != "told"],
                         ids=lambda path: path.stem)
def test_every_example_defines_one_and_says_what_it_does(path):
    found = hypervisor_class(str(path))
    assert issubclass(found, Hypervisor) and found.__name__.lower() == path.stem.replace("_", "")
    assert path.read_text().startswith('"""')


def test_the_last_class_of_a_file_counts_and_may_import_its_neighbours(tmp_path):
    (tmp_path / "near.py").write_text("VALUE = 7\n")
    (tmp_path / "two.py").write_text(IMPORT + "from near import VALUE\nclass A(Hypervisor):\n    pass\n"
                                     "class B(A):\n    value = VALUE\n")
    assert hypervisor_class(str(tmp_path / "two.py")).value == 7


@pytest.mark.parametrize("text, words", [
    (None, "No such file"), ("def", "SyntaxError"), ("1/0", "ZeroDivisionError"), (IMPORT, "no class in it"),
    ("class A: pass\n", "no class in it"), ("raise ValueError('a\\nb')", "ValueError: a b")])
def test_files_that_are_none(tmp_path, text, words):
    if text is not None:
        (tmp_path / "f.py").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        hypervisor_class(str(tmp_path / "f.py"))
    assert "\n" not in str(caught.value) and "f.py" in str(caught.value)


def test_other_files_and_other_planes(tmp_path):
    with pytest.raises(ValueError, match="not a Python file"):
        hypervisor_class(str(tmp_path / "hypervisor"))
    with pytest.raises(ValueError, match="only planes snp"):
        Machine(planes="vsm", hypervisor="x.py")


def test_a_machine_takes_a_file():
    machine = Machine(memory=8 << 20, planes="snp", hypervisor=str(EXAMPLES / "starve.py"))
    assert type(machine.plane_model.hypervisor).__name__ == "Starve"
