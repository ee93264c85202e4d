"""Reading what Debian's tools print, and taking one file out of a package."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.fetch import apt
from tools.fetch.catalogue import GUESTS, FetchError

SHOW = """\
Package: linux-image-cloud-amd64
Version: 6.1.192-2
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)
Description: Linux for x86-64 cloud
 the second line

Package: linux-image-cloud-amd64
Version: 6.1.170-1
"""


def test_control_fields_are_those_of_the_first_stanza() -> None:
    fields = apt.control_fields(SHOW)
    assert fields["Version"] == "6.1.192-2"
    assert fields["Description"] == "Linux for x86-64 cloud the second line"
    assert apt.control_fields("") == {}


def test_the_metapackage_leads_to_the_versioned_kernel() -> None:
    pattern = GUESTS["linux-cloud"].depends
    assert pattern is not None
    assert apt.dependency(apt.control_fields(SHOW)["Depends"], pattern) == "linux-image-6.1.0-56-cloud-amd64"
    both = "kmod, linux-base (>= 4.3~), linux-image-6.12.1+deb13-cloud-amd64 | linux-image-6.1.0-9-cloud-amd64"
    assert apt.dependency(both, pattern) == "linux-image-6.12.1+deb13-cloud-amd64"
    assert apt.dependency("linux-image-cloud-amd64, linux-headers-6.1-cloud-amd64", pattern) is None


def test_uri_size() -> None:
    text = "'http://h/a%2b.deb' a%2b_1_all.deb 162656 SHA256:08\n"
    assert apt.uri_size("Reading lists...\n" + text) == 162656
    assert apt.uri_size("") == 0


@pytest.mark.parametrize(("output", "says"), [
    ("Err:1 http://deb.example.org x\n  Temporary failure resolving 'deb.example.org'\nE: Failed to fetch",
     "no network connection to deb.example.org"),
    ("E: Unable to locate package nosuch", "no configured apt source has that package"),
    ("N: note\nE: Unable to lock directory /x", "Unable to lock directory /x"), ("", "no reason")])
def test_reasons_are_one_line(output: str, says: str) -> None:
    line = apt.reason("it", output)
    assert line.startswith("cannot get it: ") and says in line and "\n" not in line


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed (Debian package dpkg)")
def test_member_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "p/DEBIAN").mkdir(parents=True)
    control = "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n"
    (tmp_path / "p/DEBIAN/control").write_text(control)
    (tmp_path / "p/boot").mkdir()
    (tmp_path / "p/boot/vmlinuz-6.1").write_bytes(b"kernel" * 100000)
    (tmp_path / "p/boot/vmlinuz").symlink_to("vmlinuz-6.1")
    subprocess.run(["dpkg-deb", "--build", tmp_path / "p", tmp_path / "p.deb"], check=True, stdout=subprocess.DEVNULL)
    with apt.member(tmp_path / "p.deb", r"boot/vmlinuz.*") as content:
        assert content.read() == b"kernel" * 100000
    with pytest.raises(FetchError, match="no file like nosuch"), apt.member(tmp_path / "p.deb", "nosuch"):
        pass
    (tmp_path / "bad.deb").write_bytes(b"junk")
    with pytest.raises(FetchError, match="bad.deb"), apt.member(tmp_path / "bad.deb", "x"):
        pass
