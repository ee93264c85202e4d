"""Processes of our own: another Python that runs one module of this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(module: str, *arguments: str, pipes: bool = False) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments`, with pipes as its standard input and output or with none. It has a session
    of its own, so that Ctrl-C at the terminal does not reach it. OSError: it cannot be started."""
    if not sys.executable:
        raise OSError("the path of the Python interpreter is unknown")
    stream = subprocess.PIPE if pipes else subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdin=stream, stdout=stream,
                            stderr=subprocess.DEVNULL, start_new_session=True,
                            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])})
