"""Benchmarks: what `strata bench` measures, and with what it compares."""
