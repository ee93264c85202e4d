"""One guest under one policy: how it ends, and the switches on the way there."""

from __future__ import annotations

from typing import Any, NamedTuple

from emu.machine import Machine

PRESETS = ("USER", "LOWEST_RUNNABLE", "HIGHEST_RUNNABLE", "HV_TLFS_LITERAL", "MPP(0)", "MPP(1)", "MPP(2)", "TDX", "CCA")


class Step(NamedTuple):
    """A switch of planes. Two are the same if all but `icount` is."""

    icount: int
    vcpu: int
    out_of: int
    into: int
    cause: str

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What two runs are compared by."""
        return self.vcpu, self.out_of, self.into, self.cause


class Outcome(NamedTuple):
    """How a run went. `output`: the serial port's."""

    policy: str
    status: int
    reason: str
    message: str
    instructions: int
    steps: tuple[Step, ...]
    output: str


def execute(image: str, policy: str, max_insns: int, memory: int = 64 << 20, vcpus: int = 1, engine: str = "auto",
            progress: Any = None) -> Outcome:
    """Run an image. ValueError: the policy; ImageError and OSError: the image."""
    out = bytearray()
    machine = Machine(memory=memory, vcpus=vcpus, planes="kvm", policy=policy, engine=engine, serial_out=out.extend,
                      progress=progress)
    machine.load(image)
    stop = machine.run(max_insns=max_insns)
    steps = tuple(Step(s["icount"], s["vcpu"], s["from"], s["to"], s["cause"]) for s in machine.switches)
    return Outcome(policy, stop.status, stop.reason, stop.message, machine.icount, steps,
                   out.decode("utf-8", "replace"))
