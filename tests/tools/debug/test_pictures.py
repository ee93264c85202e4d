"""The screenshots in docs/: made by tools/debug/pictures.py, small, and of nobody's machine."""
import asyncio
import re
from pathlib import Path

import pytest

from tools.debug.pictures import PICTURES, take

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("debug-*.svg")))
def test_a_committed_screenshot(name):
    text = (DOCS / name).read_text()
    assert name in {picture.file for picture in PICTURES} and name in (DOCS / "tutorial.md").read_text()
    assert len(text) < 150_000 and not re.search(r"/(home|root|tmp|work|usr)\b", text)


@pytest.mark.parametrize("picture, shows", [
    (PICTURES[0], ("switch 2/5", "vtl1_start:", "vsm_entry.S:75", "put aside by", "Timeline")),
    (PICTURES[1], ("VTL1's mask", "write: no", "PML4E"))], ids=("switch", "denied"))
def test_one_made_again_shows_the_same(picture, shows, tmp_path):
    made = asyncio.run(take(picture, tmp_path)).read_text().replace("\u00a0", " ").replace("&#x27;", "'")
    committed = (DOCS / picture.file).read_text().replace("\u00a0", " ").replace("&#x27;", "'")
    for what in shows:
        assert what in made and what in committed
