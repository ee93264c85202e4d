"""Where the guests are."""

from pathlib import Path

BUILT = "firmware/build"


def image(name: str) -> Path:
    """A built guest, in the checkout that this module is part of, else under the current directory. FileNotFoundError:
    one line that says what it needs."""
    for top in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (top / BUILT / name).is_file():
            return top / BUILT / name
    raise FileNotFoundError(f"{BUILT}/{name}: not found; this needs a checkout of Strata (in one: make firmware)")
