"""Reads a suite's x86/unittests.cfg (kvm-unit-tests, docs/unittests.txt): which tests there are, with which options."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass

from emu.pc_config import DEVICES

CONFIG = os.path.join("x86", "unittests.cfg")
KEYS = frozenset(("file", "smp", "arch", "accel", "timeout", "groups", "check", "machine", "test_args", "qemu_params",
                  "extra_params"))
SECTION = re.compile(r"\[([A-Za-z0-9_.-]+)\]\Z")
MAX_VCPUS = 255
MIB = 1 << 20
SIZE = re.compile(r"([0-9]{1,7})([kmgKMG]?)\Z")
UNITS = {"": MIB, "k": 1 << 10, "m": MIB, "g": 1 << 30}     # -m counts in MiB


class ConfigError(Exception):
    """The directory or its configuration cannot be used; `str(e)` is one line that says why."""


@dataclass(frozen=True)
class Test:
    """One section. `path` is the image; `arguments` what the guest gets after the image's name; `cpu` QEMU's name with
    its features, or None; `memory` in bytes, or None; `timeout` in seconds, or None; `arch` empty for any;
    `devices` what `-device` names and Strata has."""

    __test__ = False

    name: str
    path: str
    arguments: str = ""
    vcpus: int = 1
    cpu: str | None = None
    memory: int | None = None
    timeout: int | None = None
    arch: str = ""
    groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()       # QEMU options that mean nothing here


def read_suite(directory: str) -> list[Test]:
    """The x86 tests of a kvm-unit-tests build directory, in the file's order. Raises ConfigError."""
    path = os.path.join(directory, CONFIG)
    if not os.path.isdir(directory):
        raise ConfigError(f"{directory}: not a directory; name the one where kvm-unit-tests was built")
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name the directory where kvm-unit-tests was built") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None


def parse(text: str, path: str) -> list[Test]:
    """The tests of a configuration's text; `path` is where images are and what messages name. Raises ConfigError."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if match := SECTION.match(line):
            if match[1] in sections:
                raise ConfigError(f"{path}:{number}: a second section [{match[1]}]")
            current = sections[match[1]] = {}
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator:
            raise ConfigError(f"{path}:{number}: neither a [section] nor key = value: {line[:60]!r}")
        if current is None:
            raise ConfigError(f"{path}:{number}: {key} comes before the first [section]")
        if key not in KEYS:
            raise ConfigError(f"{path}:{number}: unknown key {key[:60]!r}; there are: {', '.join(sorted(KEYS))}")
        current[key] = value
    return [_test(name, keys, path) for name, keys in sections.items()]


def _test(name: str, keys: dict[str, str], path: str) -> Test:
    where = f"{path}: [{name}]"
    if "file" not in keys:
        raise ConfigError(f"{where} has no file")
    image = os.path.join(os.path.dirname(path), keys["file"])
    words = _words(where, keys.get("qemu_params") or keys.get("extra_params", ""))
    cpu = memory = None
    devices: list[str] = []
    ignored: list[str] = []
    arguments = " ".join(_words(where, keys.get("test_args", "")))
    smp = keys.get("smp", "1")
    while words:
        word = words.pop(0)
        if word in ("-cpu", "-m", "-append", "-smp", "-device"):
            if not words:
                raise ConfigError(f"{where}: {word} needs a value")
            value = words.pop(0)
            if word == "-cpu":
                cpu = value
            elif word == "-m":
                memory = _size(where, value)
            elif word == "-smp":
                smp = value
            elif word == "-device":
                device = value.partition(",")[0]
                if device in DEVICES:
                    devices.append(device)
                else:
                    ignored.append(f"{word} {value}")
            else:
                arguments = f"{arguments} {value}".strip()
        elif words and not words[0].startswith("-"):
            ignored.append(f"{word} {words.pop(0)}")
        else:
            ignored.append(word)
    timeout = keys.get("timeout")
    return Test(name, image, arguments, _number(where, "smp", smp.partition(",")[0], MAX_VCPUS), cpu, memory,
                None if timeout is None else _number(where, "timeout", timeout.removesuffix("s"), 1_000_000),
                keys.get("arch", ""), tuple(keys.get("groups", "").split()), tuple(devices), tuple(ignored))


def _words(where: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {str(error).lower()} in {text[:60]!r}") from None


def _number(where: str, key: str, text: str, largest: int) -> int:
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= largest:
        raise ConfigError(f"{where}: {key} = {text[:60]!r} is not a number from 1 to {largest}")
    return int(text)


def _size(where: str, text: str) -> int:
    match = SIZE.match(text)
    if match is None or not int(match[1]):
        raise ConfigError(f"{where}: -m {text[:60]!r} is not a size such as 512 or 2g")
    return int(match[1]) * UNITS[match[2].lower()]
