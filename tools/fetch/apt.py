"""Debian's own tools, used without root: looking packages up, downloading them, taking one file out.

The system's package lists are used if they have the package. If not (none, stale, or unreadable), `apt-get update`
fills a private state directory from the system's configured sources (see apt.conf(5), Dir::State and Dir::Cache).
Downloads are checked by apt against the signed lists either way.
"""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tools.fetch.catalogue import FetchError

# No sandbox user: _apt, to which apt switches when root runs it, cannot write to a user's cache.
_OPTIONS = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20",
            "-o", "APT::Sandbox::User=")
_NO_NETWORK = re.compile(r"Could not resolve|Temporary failure|Could not connect|Unable to connect|"
                         r"Connection (failed|refused|timed out)|Network is unreachable", re.I)


class Apt:
    """apt-get and apt-cache with the system's package lists, or with private ones under ``private``."""

    def __init__(self, private: Path | None = None) -> None:
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise FetchError(f"{tool} is not installed: guests are fetched as Debian packages, on a Debian system")
        self._options = [*_OPTIONS]
        if private is not None:
            for name in ("lists/partial", "cache/archives/partial"):
                (private / name).mkdir(parents=True, exist_ok=True)
            (private / "status").touch()
            for key, value in (("Dir::State", private), ("Dir::State::lists", private / "lists"),
                               ("Dir::State::status", private / "status"), ("Dir::Cache", private / "cache")):
                self._options += ["-o", f"{key}={value}"]

    def update(self) -> None:
        """Get the package lists of the system's sources."""
        self._run("apt-get", "update", "-q")

    def show(self, package: str) -> dict[str, str]:
        """The control fields of the version that apt would install."""
        return control_fields(self._run("apt-cache", "show", "--no-all-versions", package))

    def download_size(self, package: str) -> int:
        """Bytes that downloading ``package`` takes; 0 if apt does not say."""
        return uri_size(self._run("apt-get", "download", "--print-uris", package))

    def download(self, package: str, directory: Path, progress: Callable[[int], None]) -> Path:
        """Download into ``directory``; the .deb file. ``progress`` gets the bytes so far, a few times a second."""
        self._run("apt-get", "download", "-q", package, directory=directory,
                  tick=lambda: progress(sum(f.stat().st_size for f in directory.iterdir() if f.is_file())))
        found = list(directory.glob("*.deb"))
        if len(found) != 1:
            raise FetchError(f"apt-get download {package} left {len(found)} packages instead of one")
        return found[0]

    def _run(self, tool: str, *arguments: str, directory: Path | None = None,
             tick: Callable[[], None] = lambda: None) -> str:
        command = [tool, *self._options, *arguments]
        with subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace",
                              env=os.environ | {"LC_ALL": "C"}) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    tick()
        if process.returncode:
            raise FetchError(reason(arguments[-1] if arguments[0] != "update" else "the package lists", out + err))
        # `apt-get update` succeeds when every source failed, if it can go on with what it had.
        if arguments[0] == "update" and "Err:" in out and "Get:" not in out and "Hit:" not in out:
            raise FetchError(reason("the package lists", out + err))
        return out


def reason(what: str, output: str) -> str:
    """One line out of what apt printed: why it could not get ``what``."""
    lines = [line.strip() for line in output.splitlines()]
    if any(_NO_NETWORK.search(line) for line in lines):
        hosts = sorted(set(re.findall(r"https?://([^/\s:]+)", output)))
        return f"cannot get {what}: no network connection to {', '.join(hosts) or 'the package servers'}"
    complaints = [line for line in lines if line.startswith(("E:", "W:", "N:"))]
    complaints.sort(key=lambda line: "EWN".index(line[0]))
    if any("Unable to locate package" in line or "No packages found" in line for line in complaints):
        return f"cannot get {what}: no configured apt source has that package"
    return f"cannot get {what}: {complaints[0][2:].strip() if complaints else 'apt gave no reason'}"


def control_fields(text: str) -> dict[str, str]:
    """The first stanza of a control file (deb-control(5)); continuation lines are joined with a space."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                break
        elif line[0] in " \t" and name:
            fields[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def dependency(depends: str, pattern: str) -> str | None:
    """The first package in a Depends field (deb-control(5)) whose whole name matches ``pattern``."""
    for choice in re.split(r"[,|]", depends):
        name = re.split(r"[\s(:]", choice.strip(), maxsplit=1)[0]
        if re.fullmatch(pattern, name):
            return name
    return None


def uri_size(text: str) -> int:
    """The sum of the sizes in the lines 'URI' FILE SIZE HASH that --print-uris gives."""
    return sum(int(size) for size in re.findall(r"^'[^']*' \S+ (\d+)", text, re.M))


@contextmanager
def member(package: Path, pattern: str) -> Iterator[IO[bytes]]:
    """The regular file of the .deb file ``package`` whose path matches ``pattern``, nothing else being unpacked."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            # A stream archive cannot be sought, so nothing is read twice or held.
            with tarfile.open(fileobj=cast(IO[bytes], process.stdout), mode="r|") as archive:
                for entry in archive:
                    if entry.isfile() and re.fullmatch(pattern, entry.name.removeprefix("./")):
                        content = archive.extractfile(entry)
                        if content is not None:
                            yield content
                            return
        except tarfile.TarError as error:
            raise FetchError(f"{package.name} cannot be unpacked: {error}") from None
        finally:
            process.kill()
    raise FetchError(f"{package.name} has no file like {pattern}: another version of the package than expected")
