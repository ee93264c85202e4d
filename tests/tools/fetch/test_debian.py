"""The command, with stand-ins for Debian's tools on PATH: nothing here uses a network."""

import json
from pathlib import Path

import pytest

from tools.fetch import debian, find
from tools.fetch.catalogue import FetchError

# Knows seabios only once `apt-get update` has run with a private state directory.
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
case "$*" in
*update*) test -z "$OFFLINE" || { echo "Err:1 http://deb.example.org x"; echo "  Could not resolve 'it'"; exit 100; }
          touch "$LOG.updated"; echo "Get:1 x";;
*--print-uris*) echo "'http://h/p.deb' p.deb 100 SHA256:0";;
*download*) echo deb > p.deb;;
esac
"""
APT_CACHE = """#!/bin/sh
case "$*" in
*Dir::State*) test -e "$LOG.updated";;
*) test -n "$SYSTEM_LISTS";;
esac || { echo "E: No packages found" >&2; exit 100; }
echo "Package: seabios"; echo "Version: 1.16"
"""
DPKG_DEB = """#!/bin/sh
mkdir -p usr/share/seabios && echo ROM > usr/share/seabios/bios-256k.bin && tar -c ./usr && rm -r usr
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE), ("dpkg-deb", DPKG_DEB)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "log").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_private_lists_when_the_system_has_none(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find("seabios") is None
    assert debian.main(["seabios"]) == 0
    path = find("seabios")
    assert path is not None and path.read_bytes() == b"ROM\n"
    assert capsys.readouterr().out == f"{path}\n"
    assert "Dir::State=" in log.read_text() and "Dir::Cache=" in log.read_text()
    assert [p.name for p in path.parent.parent.iterdir() if p.name.startswith(".down")] == []


def test_system_lists_are_enough(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM_LISTS", "1")
    assert debian.main(["seabios"]) == 0
    assert "update" not in log.read_text()


def test_a_second_time_downloads_nothing_unless_forced(log: Path) -> None:
    debian.main(["seabios"])
    log.write_text("")
    assert debian.main(["seabios"]) == 0
    assert log.read_text() == ""
    assert debian.main(["--force", "seabios"]) == 0
    assert "download" in log.read_text()


def test_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert debian.main(["--json", "seabios"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "seabios", "path": str(find("seabios")), "package": "seabios", "version": "1.16"}]


def test_errors_are_one_line(log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def says(status: int, text: str, *argv: str) -> None:
        assert debian.main(list(argv)) == status
        out, err = capsys.readouterr()
        assert out == "" and text in err and err.startswith("strata fetch: ") and err.count("\n") == 1
    says(126, "no guest named 'nosuch'", "nosuch", "seabios")
    says(1, "no file like", "ovmf")
    (log.parent / "log.updated").unlink()
    monkeypatch.setenv("OFFLINE", "1")
    says(1, "no network connection to deb.example.org", "seabios")
    monkeypatch.setenv("PATH", str(log.parent))
    says(1, "apt-get is not installed", "seabios")


def test_find_knows_its_names() -> None:
    with pytest.raises(FetchError):
        find("nosuch")


def test_no_names_lists_what_there_is(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert debian.main([]) == 0
    assert "busybox      not fetched" in capsys.readouterr().out
