"""CPU models that `--cpu` accepts."""

MODELS = ("max",)       # everything that is implemented (emu/isa/cpuid.py)
