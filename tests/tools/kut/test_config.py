"""unittests.cfg: what is read of it, and what is refused in one line."""

import pytest

from tools.kut.config import ConfigError, parse, read_suite
from tools.kut.suite import select

TEXT = """
# a comment
[plain]
file = plain.flat

[full]
file = full.flat
smp = 4
arch = x86_64
test_args = 'one two'
qemu_params = -cpu qemu64,+x2apic -m 2g -machine pit=off -no-reboot
timeout = 30
groups = apic nodefault

[old]
file = old.flat
arch = i386
extra_params = -append 'three "four"' -smp 2,maxcpus=4 -m 512
"""


def test_options() -> None:
    plain, full, old = parse(TEXT, "dir/x86/unittests.cfg")
    assert (plain.name, plain.path, plain.vcpus, plain.cpu, plain.memory) == ("plain", "dir/x86/plain.flat", 1, None,
                                                                              None)
    assert (full.arguments, full.vcpus, full.cpu, full.memory, full.timeout) == (
        "one two", 4, "qemu64,+x2apic", 2 << 30, 30)
    assert full.groups == ("apic", "nodefault") and full.ignored == ("-machine pit=off", "-no-reboot")
    assert (old.arguments, old.vcpus, old.memory) == ('three "four"', 2, 512 << 20)


def test_devices_that_there_are_are_plugged_in() -> None:
    text = "[a]\nfile = a.flat\nqemu_params = -M q35 -device intel-iommu,intremap=on -device edu -device nvme\n"
    test, = parse(text, "x86/unittests.cfg")
    assert (test.name, test.devices) == ("a", ("intel-iommu", "edu")) and test.ignored == ("-M q35", "-device nvme")


def test_selection_is_by_architecture_name_and_group() -> None:
    tests = parse(TEXT, "x86/unittests.cfg")
    assert [test.name for test in select(tests, [])] == ["plain", "full"]
    assert [test.name for test in select(tests, ["pl*"])] == ["plain"]
    assert [test.name for test in select(tests, ["apic"])] == ["full"]
    assert select(tests, ["old", "nothing"]) == []


@pytest.mark.parametrize("text, names", [
    ("file = a", ":1: file comes before"), ("[a]\nnonsense", ":2: neither"),
    ("[a]\nfile=x\n[a]\nfile=y", ":3: a second"),
    ("[a]\nsmp = 2", "[a] has no file"), ("[a]\nfile=x\nsmp=many", "smp = 'many'"),
    ("[a]\nfile=x\nsmp=256", "1 to 255"),
    ("[a]\nfile=x\ntimeout=-1", "timeout"), ("[a]\nfile=x\nqemu_params=-m", "-m needs a value"),
    ("[a]\nfile=x\nqemu_params=-m lots", "-m 'lots'"), ("[a]\nfile=x\ntest_args='open", "no closing quotation"),
    ("[a]\nfile=x\ncolour=red", "unknown key 'colour'")])
def test_bad_text_is_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "unittests.cfg")
    assert names in str(caught.value) and "\n" not in str(caught.value)


def test_bad_directories(tmp_path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            read_suite(str(path))
    (tmp_path / "x86").mkdir()
    (tmp_path / "x86" / "unittests.cfg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_suite(str(tmp_path))
