"""The on-disk cache of compiled code: one small file per function, in a directory named after everything it depends on.

A file is `sha256(payload) + payload`, written to a temporary name and renamed, so that several processes may share
the directory and a reader never sees half a file. A file that does not verify is deleted and built again. The
directory's name digests the sources of `jit/`, the versions of numba and llvmlite, and the host CPU with its features.
"""

import contextlib
import hashlib
import importlib.metadata
import marshal
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm

KEEP = 4        # directories of other versions that are kept
CLAIM_SECONDS = 60
WAIT_STEP = 0.002


class Compiled(NamedTuple):
    """A compiled function: relocatable `object` code defining `symbol`, the LLVM `bitcode` of its body (empty where
    nothing links it), the body's symbol, the op's kind, and the runtime functions that the object refers to."""

    symbol: str
    object: bytes
    bitcode: bytes
    body: str
    kind: str
    needs: tuple[str, ...]


def root() -> Path:
    """The directory under which Strata keeps compiled code: $STRATA_CACHE, or strata/ in the user's cache directory."""
    chosen = os.environ.get("STRATA_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strata" / "jit"


def fingerprint() -> str:
    """Digest of what compiled code depends on."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    versions = (sys.version, *(importlib.metadata.version(p) for p in ("numba", "llvmlite", "numpy")))
    digest.update(repr((versions, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())).encode())
    return digest.hexdigest()[:24]


def _alive(claim: Path) -> bool:
    """Whether the process that wrote a claim still runs, and has not sat on it for too long."""
    try:
        if time.time() - claim.stat().st_mtime > CLAIM_SECONDS:
            return False
        os.kill(int(claim.read_text() or os.getpid()), 0)
    except (OSError, ValueError):
        return False
    return True


def claim_directory(directory: Path, keep: int) -> bool:
    """Make a private directory and delete the oldest of those beside it but `keep`; whether it can be used."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.stat(directory).st_uid == os.getuid()
        os.utime(directory)
        others = sorted((d for d in directory.parent.iterdir() if d.is_dir() and d != directory),
                        key=lambda d: d.stat().st_mtime)
        for old in others[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return False
    return usable


def write_whole(path: Path, *parts: bytes) -> None:
    """Write a file that no reader sees half of. OSError: it cannot be written."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
    os.replace(temporary, path)


class Cache:
    """Compiled functions by name. Without a writable directory it stores nothing and everything is compiled anew."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or root() / fingerprint()
        self.usable = claim_directory(self.directory, KEEP)

    def get(self, name: str) -> Compiled | None:
        """The stored function, or None when it is absent or damaged."""
        if not self.usable:
            return None
        path = self.directory / name
        try:
            blob = path.read_bytes()
        except OSError:
            return None
        try:
            if hashlib.sha256(blob[32:]).digest() == blob[:32]:
                return Compiled(*marshal.loads(blob[32:]))
        except (ValueError, EOFError, TypeError):
            pass                                # what verifies but is no entry is damaged, too
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return None

    def claim(self, name: str) -> bool:
        """Announce that this process compiles the function: False when another living one already does."""
        if not self.usable:
            return True
        path = self.directory / f".claim-{name}"
        for _ in range(2):
            try:
                with open(path, "x") as file:
                    file.write(str(os.getpid()))
                return True
            except FileExistsError:
                if _alive(path):
                    return False
                path.unlink(missing_ok=True)
            except OSError:
                return True
        return True

    def wait(self, name: str) -> Compiled | None:
        """The function once the process that claimed it has stored it; None when it gave up."""
        path = self.directory / f".claim-{name}"
        while path.exists() and _alive(path):
            time.sleep(WAIT_STEP)
        return self.get(name)

    def release(self, name: str) -> None:
        """End a claim."""
        (self.directory / f".claim-{name}").unlink(missing_ok=True)

    def put(self, name: str, compiled: Compiled) -> None:
        """Store a function; failure to write is no error."""
        if not self.usable:
            return
        payload = marshal.dumps(tuple(compiled))
        with contextlib.suppress(OSError):
            write_whole(self.directory / name, hashlib.sha256(payload).digest(), payload)
