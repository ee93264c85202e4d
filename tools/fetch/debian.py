"""`strata fetch`: download guests from Debian packages into the user's cache and print where they are."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from tools.fetch import apt, cache
from tools.fetch.cache import find
from tools.fetch.catalogue import GUESTS, FetchError, Guest, guest

__all__ = ["fetch", "find", "main"]

Report = Callable[[str, int, int], None]  # (what is being done, bytes so far, bytes in all or 0)


def fetch(name: str, *, force: bool = False, report: Report = lambda text, done, total: None) -> Path:
    """The file of guest ``name``, downloaded if it is not in the cache yet (``force``: anyway). Raises FetchError."""
    wanted = guest(name)
    present = find(name)
    if present is not None and not force:
        return present
    try:
        try:
            return _fetch(wanted, apt.Apt(), report)
        except FetchError:
            # No lists, or old ones whose packages have left the archive: the second try has fresh lists of its own.
            private = apt.Apt(cache.root() / ".apt")
            report("package lists", 0, 0)
            private.update()
            return _fetch(wanted, private, report)
    except OSError as error:
        raise FetchError(f"{error.filename or cache.root()}: {error.strerror or error}") from None


def _fetch(wanted: Guest, source: apt.Apt, report: Report) -> Path:
    package = wanted.package
    fields = source.show(package)
    if wanted.depends is not None:
        found = apt.dependency(fields.get("Depends", ""), wanted.depends)
        if found is None:
            raise FetchError(f"{package} depends on nothing like {wanted.depends}")
        package, fields = found, source.show(found)
    cache.root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.root(), prefix=".download-") as directory:
        total = source.download_size(package)
        report(package, 0, total)
        archive = source.download(package, Path(directory), lambda done: report(package, done, total))
        report(package, total, total)
        with apt.member(archive, wanted.member) as content:
            return cache.store(wanted, content, {"package": package, "version": fields.get("Version", "")})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(126, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "strata fetch", description="Fetch guest software from Debian packages, without root, and print where it is.",
        epilog="guests:\n" + "".join(f"  {g.name:<13}{g.about} (package {g.package})\n" for g in GUESTS.values())
        + "\nexample:\n  strata run \"$(strata fetch memtest86+)\" --append console=ttyS0,115200\n",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; with none, list what there is")
    parser.add_argument("--force", action="store_true", help="download again what is in the cache")
    parser.add_argument("--json", action="store_true", help="print a list of {name, path, package, version} instead")
    return parser


def _entry(wanted: Guest) -> dict[str, str | None]:
    path = find(wanted.name)
    origin = cache.source(wanted) if path else {}
    return {"name": wanted.name, "path": str(path) if path else None, "package": origin.get("package", wanted.package),
            "version": origin.get("version")}


def _list(as_json: bool) -> None:
    entries = [_entry(g) for g in GUESTS.values()]
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    for entry in entries:
        print(f"{entry['name']:<13}{entry['path'] or 'not fetched'}")


def main(argv: list[str]) -> int:
    """Run `strata fetch` with ``argv``; 0, or 126 for an unknown name, or 1 if fetching failed, with one line why."""
    options = _parser().parse_args(argv)
    if not options.names:
        _list(options.json)
        return 0
    try:
        wanted = [guest(name) for name in options.names]
    except FetchError as error:
        print(f"strata fetch: {error}", file=sys.stderr)
        return 126
    try:
        _fetch_all(wanted, options.force, print_paths=not options.json)
    except FetchError as error:
        print(f"strata fetch: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([_entry(g) for g in wanted], indent=1))
    return 0


def _fetch_all(wanted: list[Guest], force: bool, print_paths: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    for one in wanted:
        # One display per guest: a finished one is cleared before its path is printed.
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
            task = display.add_task(one.name, total=None)
            path = fetch(one.name, force=force, report=_reporter(display, task))
        if print_paths:
            print(path, flush=True)


def _reporter(display: Progress, task: TaskID) -> Report:
    def report(text: str, done: int, total: int) -> None:
        display.update(task, description=text, completed=done, total=total or None)
    return report
