"""The engine side replaced by a stand-in, so that the command line is tested by itself, and quickly."""
import sys

import pytest

from tests.fakes import machine


@pytest.fixture
def engine(monkeypatch):
    """Puts the stand-in where the commands import the engine from; returns its module."""
    for name, module in machine.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return machine


@pytest.fixture
def guest(tmp_path):
    """Makes an image for the stand-in: guest("exit 3") returns its path."""
    def make(text):
        path = tmp_path / "guest.elf"
        path.write_text(text)
        return str(path)
    return make
