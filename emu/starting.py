"""How a machine starts, and starts again after a reset: images in place, processors and board as at power-on.

A reset leaves RAM alone, but for what the images put there: they come from a loader, which a reset runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import boot, firmware_state
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import layout

if TYPE_CHECKING:
    from emu.load.model import Image
    from emu.machine import Machine


class Start:
    """Where a machine starts: `image`, and, if there is one, the image of a higher plane, `above`, which runs first."""

    def __init__(self, machine: Machine, image: Image, above: Image | None = None) -> None:
        self._machine, self.image, self.above = machine, image, above
        self._msrs = [dict(vcpu.msrs.values) for vcpu in machine.vcpus]
        machine.map.load(image)
        self._enter()

    def _enter(self) -> None:
        machine, image = self._machine, self.image
        for vcpu in machine.vcpus:
            boot.reset(vcpu.plane)
            vcpu.plane.reset_fpu()
            vcpu.plane.set(layout.ACTIVITY, WAIT_FOR_SIPI if vcpu.index else RUNNING)
        machine.refresh_shadow()
        signature, _, _, features = machine.vcpus[0].cpuid.read(1, 0)
        firmware_state.stand_in(machine.pc, machine.memory, machine.vcpu_count, (signature, features), image,
                                machine.report)
        for vcpu in machine.vcpus:
            firmware_state.set_up_memory_types(image.kind, vcpu.msrs)
        boot.start(machine.vcpus[0].plane, image.boot)
        if machine.plane_model is not None:
            machine.plane_model.loaded()
            if self.above is not None:
                machine.map.load(self.above)
                machine.plane_model.launch(self.above)

    def possible_again(self) -> bool:
        """Whether a reset can start this again: a launch that was measured happens once."""
        model = self._machine.plane_model
        return self.image.launch is None and (model is None or model.resets)

    def again(self) -> None:
        """After a reset, of which the plane model knows already. Time goes on."""
        machine = self._machine
        for vcpu, values in zip(machine.vcpus, self._msrs, strict=True):
            vcpu.msrs.values.clear()
            vcpu.msrs.values.update(values)
            vcpu.wait_rules.apply()
            vcpu.counters.refresh()
        machine.pc.reset()
        for image in filter(None, (self.image, self.above)):
            for segment in image.segments:
                machine.memory.write(segment.gpa, segment.data.ljust(segment.size, b"\0"))
        for gpa in list(machine.engine.translator.pages):
            machine.engine.translator.invalidate(gpa)
        machine.engine.monitors.disarm_all()
        machine.turn, machine.turn_left, machine.patience = 0, machine.quantum, 1
        self._enter()
        machine.flush_all()
