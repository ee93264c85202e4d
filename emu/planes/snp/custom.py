"""A hypervisor of the user's own, from a Python file: its last class that derives from Hypervisor."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from emu.planes.snp.hypervisor import Hypervisor


def hypervisor_class(path: str) -> type[Hypervisor]:
    """The class that a file defines. Files beside it can be imported. ValueError: one line that says what is wrong."""
    file = Path(path)
    name = f"strata_hypervisor_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file) if file.suffix == ".py" else None
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python file (NAME.py)")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except Exception as error:  # whatever it is, the user gets to know it in one line
        text = " ".join(str(error).split())
        raise ValueError(f"{path}: {type(error).__name__}: {text}") from None
    finally:
        sys.path.remove(str(file.resolve().parent))
    found = [value for value in vars(module).values()
             if isinstance(value, type) and issubclass(value, Hypervisor) and value.__module__ == name]
    if not found:
        raise ValueError(f"{path}: no class in it derives from emu.planes.snp.hypervisor.Hypervisor")
    return found[-1]
