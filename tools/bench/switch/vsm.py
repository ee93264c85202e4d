"""Paths through VTLs: firmware/bench/vsm_switch.c and vsm_paths.S."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from emu.irq.apicbus import ApicMessage
from emu.machine import Machine
from tools.bench.switch.guests import image
from tools.bench.switch.rig import GuestError, Rig
from tools.bench.switch.scenario import CALL, CALL_NORMAL, INTERRUPT, LOWER, SEPARATE, Scenario

GUEST = "vsm_switch.elf"
DEVICE_VECTOR, SERVICE_VECTOR = 0x61, 0x62
ENDLESS = (1 << 32) - 1
SETUP, CHUNK = 1_000_000, 1_000         # instructions until the guest is in its loop, at most; between looks
# path_choice of the guest, the labels between which the path lies, and the interrupt: for which VTL, which vector
PATHS: dict[str, tuple[int, str, str, tuple[int, int] | None, str]] = {
    CALL: (1, "path_call", "path_call_end", None, "VTL call, fast return"),
    CALL_NORMAL: (2, "path_call", "path_call_end", None, "VTL call, normal return"),
    INTERRUPT: (3, "path_interrupt", "path_interrupt_end", (1, SERVICE_VECTOR), "interrupt enters VTL1"),
    LOWER: (4, "path_vina", "path_vina_end", (0, DEVICE_VECTOR), "VINA for VTL0's interrupt"),
}


def policies() -> tuple[str, ...]:
    """The dialects; with two VTLs they switch alike."""
    return ("ms",)


def scenarios(policy: str) -> Iterator[Scenario]:
    """All paths."""
    for task, (*_, title) in PATHS.items():
        yield Scenario("vsm", policy, task, title, partial(VsmRig, task, policy))


class VsmRig(Rig):
    """A guest with VTL0 and VTL1 in one of its loops."""

    def __init__(self, task: str, policy: str, fpu: str, engine: str) -> None:
        choice, begin, end, self._interrupt, _ = PATHS[task]
        machine = Machine(memory=16 << 20, planes="vsm", policy=policy, engine=engine)
        machine.load(str(image(GUEST)))
        super().__init__(machine, begin, end)
        self.poke("path_choice", choice, 4)
        self.poke("path_rounds", ENDLESS, 4)
        for _ in range(SETUP // CHUNK):
            self.run(CHUNK)
            if machine.memory.read(self.symbol("path_rounds"), 4) != ENDLESS.to_bytes(4, "little"):
                break
        else:
            raise GuestError(f"{GUEST} does not come to its loop")
        if fpu == SEPARATE:             # not what the TLFS says: what it would cost if it did
            second = self.vcpu.planes[1]
            second.use_fpu(second.fpu_block.address)

    def run(self, instructions: int) -> None:
        """Execute instructions."""
        stop = self.machine.run_plain(max_insns=instructions)
        if stop.reason != "max-insns":
            raise GuestError(stop.message)

    @property
    def from_outside(self) -> bool:
        """Whether the path has an interrupt."""
        return self._interrupt is not None

    def stimulate(self) -> bool:
        """The path's interrupt."""
        if self._interrupt is None:
            return False
        plane, vector = self._interrupt
        self.vcpu.lapics[plane].accept(ApicMessage(vector))
        return True
