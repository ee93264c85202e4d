"""What the engine side accepts, as far as it says so; asked for only when a command needs it."""
import importlib
import re


def names(module: str, attribute: str) -> tuple[str, ...]:
    """The names listed in `module.attribute` (a collection of strings or a mapping by name), or () if there is none."""
    try:
        listed = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in (module, module.rpartition(".")[0]):
            raise                          # the module is there, but something that it needs is not
        return ()
    return tuple(str(name) for name in listed)


def planes() -> tuple[str, ...]:
    """Values that `--planes` accepts now."""
    return names("emu.planes", "AVAILABLE") or ("none",)


def devices() -> tuple[str, ...]:
    """Values that `--device` accepts now."""
    return names("emu.pc_config", "DEVICES")


def policies() -> tuple[str, ...]:
    """Names that `--policy` accepts now."""
    return names("emu.planes", "POLICIES")


def is_policy(name: str) -> bool:
    """Whether `--policy` may know a name: in any case, with - for _, a number for (n), and extras after +."""
    base = name.partition("+")[0].upper().replace("-", "_")
    forms = {base, re.sub(r"_?\(?\d+\)?$", "(N)", base)}
    return any(known.upper().replace("-", "_") in forms for known in policies())
