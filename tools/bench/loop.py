"""What a benchmark loop is: machine code, how long it is, and what it computes.

The code is a leaf in the System V convention that leaves callee-saved registers as they were, so that the host can call
it too: RDI is the number of iterations (at least 1), RSI points to DATA_SIZE zeroed bytes, RAX is the result. The
number of instructions is exact by construction: `setup` + `per_iteration` * iterations, RET included.
"""
from collections.abc import Callable
from dataclasses import dataclass

MASK = (1 << 64) - 1
DATA_SIZE = 0x9000                  # 32 KiB and the 24 bytes that the load/store loop reaches beyond, in whole pages


@dataclass(frozen=True)
class Loop:
    """One loop: `code` is position independent; `model` computes the result of a number of iterations, slowly."""

    name: str
    about: str
    code: bytes
    setup: int
    per_iteration: int
    model: Callable[[int], int]
    needs: frozenset[str] = frozenset()     # extensions, as Linux names them in /proc/cpuinfo

    def instructions(self, iterations: int) -> int:
        """How many instructions a call with this many iterations retires."""
        return self.setup + self.per_iteration * iterations

    def iterations(self, instructions: float) -> int:
        """How many iterations, at least 1, come nearest to this many instructions from below."""
        return max(1, int(instructions - self.setup) // self.per_iteration)
