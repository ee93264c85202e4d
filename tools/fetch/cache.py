"""Where fetched files are kept: $XDG_CACHE_HOME/strata/guests/NAME/FILE, with a source.json that says whence."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from tools.fetch.catalogue import Guest, guest


def root() -> Path:
    """The cache directory of guests (XDG Base Directory Specification: a relative XDG_CACHE_HOME is ignored)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "strata" / "guests"


def place(wanted: Guest) -> Path:
    """Where the file of ``wanted`` is, or would be."""
    return root() / wanted.name / wanted.file


def find(name: str) -> Path | None:
    """The fetched file of guest ``name``, None if it has not been fetched. FetchError for an unknown name."""
    path = place(guest(name))
    return path if path.is_file() else None


def source(wanted: Guest) -> dict[str, str]:
    """Where the file of ``wanted`` came from: package and version; empty if that is not known."""
    try:
        found = json.loads((place(wanted).parent / "source.json").read_text())
    except (OSError, ValueError):
        return {}
    return {k: str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def store(wanted: Guest, content: IO[bytes], origin: dict[str, str]) -> Path:
    """Keep ``content`` as the file of ``wanted``; its path. The file appears whole or not at all."""
    path = place(wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path.parent / "source.json", [json.dumps(origin, indent=1).encode()])
    _replace(path, iter(lambda: content.read(1 << 20), b""))
    return path


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            os.fchmod(handle, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
