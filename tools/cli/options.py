"""What the subcommands' parsers share: one-line errors, and the readers of sizes and addresses."""
import argparse
from typing import NoReturn

SUFFIXES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
LARGEST_MEMORY = 1 << 40
LARGEST_QUANTUM = 1_000_000


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit with 126, as every other bad input does."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with status 126."""
        self.exit(126, f"{self.prog}: {message} (see {self.prog} --help)\n")


def size(text: str) -> int:
    """Bytes from "256M", "1G", "64k" or a plain number of bytes: whole pages, from 1 MiB to 1 TiB."""
    digits = text.rstrip("kKmMgG")
    suffix = text[len(digits):].lower()
    if not digits.isdecimal() or suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 256M, 1G or 65536k")
    number = int(digits) * SUFFIXES[suffix]
    if not (1 << 20) <= number <= LARGEST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1M and {LARGEST_MEMORY >> 30}G")
    if number % 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 4096-byte pages")
    return number


def address(text: str) -> int:
    """A physical address from "0x100000" or "1048576", below 2**52 (SDM 4.1.4, MAXPHYADDR)."""
    try:
        number = int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as 0x100000") from None
    if not 0 <= number < 1 << 52:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 2**52")
    return number


def count(text: str) -> int:
    """A number of instructions, 1 or more: "1000000", "1_000_000" or "1e6"."""
    try:
        number = int(text.replace("_", "")) if "e" not in text.lower() else int(float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 1000000 or 1e6") from None
    if not 0 < number < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 2**63")
    return number


def quantum(text: str) -> int:
    """Instructions of one vCPU's turn, 1 to a million."""
    number = count(text)
    if number > LARGEST_QUANTUM:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {LARGEST_QUANTUM} instructions")
    return number


def seconds(text: str) -> float:
    """A time limit in seconds, more than 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def seed(text: str) -> int:
    """A 64-bit seed, decimal or 0x."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2**64 - 1")
    return number


def vcpus(text: str) -> int:
    """How many virtual CPUs, 1 to 255 (xAPIC identifiers are 8 bits, and 255 is broadcast: SDM, Local APIC ID)."""
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 255")
    return int(text)
