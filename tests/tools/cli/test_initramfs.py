"""`strata initramfs`: what it writes and what it refuses."""

import pytest

from tools.cli import initramfs


def test_writes_an_archive(tmp_path):
    (tmp_path / "busybox").write_bytes(b"\x7fELF...")
    out = tmp_path / "out.cpio"
    assert initramfs.main(["--busybox", str(tmp_path / "busybox"), "--run", "true", "-o", str(out)]) == 0
    assert out.read_bytes().startswith(b"070701") and b"\x7fELF..." in out.read_bytes()


@pytest.mark.parametrize("options, text", [
    (["--busybox", "missing"], "--busybox missing: No such file"),
    (["--busybox", __file__], "not an ELF file"),
])
def test_bad_input_is_one_line(tmp_path, capsys, options, text):
    assert initramfs.main([*options, "--output", str(tmp_path / "out")]) == 126
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "busybox").write_bytes(b"\x7fELF")
    assert initramfs.main(["--busybox", str(tmp_path / "busybox"), "-o", str(tmp_path / "no" / "out")]) == 126
    assert "--output" in capsys.readouterr().err


def test_without_a_fetched_busybox_it_says_how_to_get_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert initramfs.main(["-o", str(tmp_path / "out")]) == 126
    assert "strata fetch busybox" in capsys.readouterr().err
