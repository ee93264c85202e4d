"""What docs/planes.md shows of commands is what they print; numbers of instructions and times may change."""
import re
import shlex
from pathlib import Path

import pytest

from tools.cli import main

TOP = Path(__file__).resolve().parents[3]
PAGE = (TOP / "docs" / "planes.md").read_text()


def examples():
    """(command, its output) of indented blocks that start with a command and go on."""
    section = PAGE.partition("## Questions that the designs leave open")[2].partition("### Smaller ones")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE)
    for block in blocks:
        lines = [line[4:] for line in block.strip("\n").splitlines()]
        starts = [n for n, line in enumerate(lines) if line.startswith("strata ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield lines[start], "\n".join(lines[start + 1:end])


def same(text):
    """Without numbers of three digits and more, and the widths that follow from them."""
    return [re.sub(r"\b\d[\d,]{2,}\b", "N", " ".join(line.split())) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("command, shown", list(examples()), ids=lambda value: value.split("\n")[0][:60])
def test_a_command_prints_what_the_page_shows(command, shown, monkeypatch, capfd):
    monkeypatch.chdir(TOP)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))
    main.main(shlex.split(command)[1:])
    assert same(capfd.readouterr().out) == same(shown)


def test_every_open_question_has_a_command():
    assert len(list(examples())) == 9
