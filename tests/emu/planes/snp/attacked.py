"""Runs of guests with an SVSM, under the hypervisors of docs/examples/hypervisors or another one."""

from pathlib import Path
from typing import NamedTuple

from emu.machine import Machine
from emu.planes.snp.custom import hypervisor_class
from emu.planes.snp.hypervisor import Hypervisor

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "docs" / "examples" / "hypervisors"
MEMORY, INSTRUCTIONS = 20 << 20, 100_000_000


class Run(NamedTuple):
    """How a run ended. `lines`: what the guest and its SVSM printed, by the word before the colon."""

    status: int
    reason: str
    message: str
    lines: dict[str, str]
    hypervisor: Hypervisor
    machine: Machine

    @property
    def fooled(self):
        """Whether the guest took something for right that was not."""
        return any(line.startswith("FAIL") for line in self.lines)


def run(guest, hypervisor=Hypervisor, vcpus=1, append=""):
    """Run firmware/build/snp_GUEST.elf; `hypervisor` is a class, or the name of an example."""
    if isinstance(hypervisor, str):
        hypervisor = hypervisor_class(str(EXAMPLES / f"{hypervisor}.py"))
    out = []
    machine = Machine(memory=MEMORY, planes="snp", vcpus=vcpus, hypervisor=hypervisor, serial_out=out.append)
    machine.load(str(ROOT / "firmware" / "build" / f"snp_{guest}.elf"), append=append)
    stop = machine.run(max_insns=INSTRUCTIONS)
    lines = dict(line.partition(": ")[::2] for line in b"".join(out).decode("ascii", "replace").splitlines())
    return Run(stop.status, stop.reason, stop.message, lines, machine.plane_model.hypervisor, machine)
