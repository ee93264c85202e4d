"""`strata bench`: finds the benchmark and hands it the rest of the command line."""
import argparse
import importlib

from tools.cli.options import Parser

BENCHMARKS = {"cpu": "tools.bench.cpu", "boot": "tools.bench.boot", "debug": "tools.bench.debug",
              "switch": "tools.bench.switch.main"}

EPILOG = """\
benchmarks:
  cpu     eleven loops of known length, beside QEMU TCG, Unicorn and the host CPU
  boot    Debian's cloud kernel from start to shell, beside QEMU TCG
  debug   steps a second, going back, and what breakpoints cost that do not fire
  switch  plane switches: instructions, memory traffic, modelled cycles by cause

examples:
  strata bench cpu
  strata bench cpu --engine interp --json cpu.json --plot cpu.svg
  strata bench cpu --vs qemu
  strata bench boot --json boot.json
  strata bench debug
  strata bench switch --planes vsm
"""


def parser() -> Parser:
    """The parser of `strata bench`, up to the benchmark's name."""
    p = Parser("strata bench", "Measure Strata's speed.", EPILOG)
    p.add_argument("benchmark", choices=tuple(BENCHMARKS), help="what to measure")
    p.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the benchmark's own arguments")
    return p


def main(argv: list[str]) -> int:
    """Run one benchmark; returns its exit status."""
    args = parser().parse_args(argv)
    return importlib.import_module(BENCHMARKS[args.benchmark]).main(args.arguments)
