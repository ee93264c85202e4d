"""What README and docs/ tell people to type exists."""
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tools.cli import main

TOP = Path(__file__).resolve().parents[1]
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", *sorted((TOP / "docs").glob("*.md"))]
CONFIG = tomllib.loads((TOP / "pyproject.toml").read_text())
MARKERS = [marker.partition(":")[0] for marker in CONFIG["tool"]["pytest"]["ini_options"]["markers"]]
PASSED_ON = {"fetch"}               # commands whose arguments another program parses


def code_lines(text):
    """Lines of fenced and indented blocks, and everything between backquotes."""
    fenced = False
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
    yield from re.findall(r"`([^`\n]+)`", text)


def commands(program):
    """(page, words) for every command of this program in the pages, comments removed."""
    for page in PAGES:
        for line in code_lines(page.read_text(encoding="utf-8")):
            words = shlex.split(line, comments=True) if line.startswith(program + " ") else []
            if words:
                yield page.name, words[1:]


def synopsis(words):
    """Whether this is a pattern for people, as `strata COMMAND --help` and `strata run IMAGE [options]`."""
    return any(word.isupper() or "[" in word for word in words)


@pytest.mark.parametrize("page, words", [c for c in commands("strata") if not synopsis(c[1])],
                         ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_strata_command_parses(page, words):
    args = main.parser().parse_args([word for word in words if word != "--help"])
    if args.command is None:                    # --help or --version alone
        return
    assert args.command in main.COMMANDS
    if args.command not in PASSED_ON:
        module = import_module(main.COMMANDS[args.command][0])
        if args.command == "bench":
            benchmark = module.parser().parse_args(args.arguments)
            module = import_module(module.BENCHMARKS[benchmark.benchmark])
            args.arguments = benchmark.arguments
        module.parser().parse_args(args.arguments)


@pytest.mark.parametrize("page, words", list(commands("make")), ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_make_target_exists(page, words):
    phony = re.search(r"^\.PHONY: (.*)$", (TOP / "Makefile").read_text(), re.MULTILINE).group(1).split()
    rules = re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert words[0] in phony and words[0] in rules


def test_readme_names_the_two_commands():
    named = [words for page, words in commands("make") if page == "README.md"]
    assert ["demo"] in named and ["test"] in named


def test_ci_finds_the_test_command_in_readme():
    awk = re.search(r"awk '(.*?)' README.md", (TOP / ".ci" / "run").read_text()).group(1)
    done = subprocess.run(["awk", awk, str(TOP / "README.md")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "make test"


@pytest.mark.parametrize("marker", MARKERS)
def test_marker_is_documented_with_a_command(marker):
    assert f"`pytest -m {marker}`" in (TOP / "docs" / "develop.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("command", [name for name in main.COMMANDS if name not in PASSED_ON])
def test_help_has_examples_that_parse(command):
    module = import_module(main.COMMANDS[command][0])
    text = module.parser().format_help()
    examples = [line.split() for line in text.partition("examples:")[2].splitlines() if line.strip()]
    assert examples and all(words[:2] == ["strata", command] for words in examples)
    for line in text.partition("examples:")[2].splitlines():
        if line.strip():
            module.parser().parse_args(shlex.split(line)[2:])


def test_help_is_quick():
    """Nothing heavy is imported for --help: these are what a command needs, not what the list of commands needs."""
    script = ("import sys; sys.argv = ['strata', '--help']\n"
              "from tools.cli.main import main\n"
              "try: main()\nexcept SystemExit: pass\n"
              "print(sorted({'numba', 'numpy', 'rich', 'iced_x86', 'emu', 'jit', 'json'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
