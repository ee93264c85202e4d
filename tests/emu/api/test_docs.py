"""The recipes of docs/api.md, run."""
import doctest
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


def test_every_recipe_of_the_documentation_works(monkeypatch):
    monkeypatch.chdir(TOP)
    text = (TOP / "docs/api.md").read_text()
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/api.md", "docs/api.md", 0)
    report: list[str] = []
    result = doctest.DocTestRunner().run(test, out=report.append)
    assert result.attempted > 30 and result.failed == 0, "".join(report)
