"""How a machine starts, and starts again after a reset: images in place, processors and board as at power-on.

A reset leaves RAM alone, but for what the images put there: they come from a loader, which a reset runs again. S3 ends
with a reset of all but RAM: firmware finds in CMOS that it has to go on; for kernels that were started without any, its
part is done here (ACPI specification 6.4, 16.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import boot, firmware_state
from emu.plane import SMBASE_RESET
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import layout

if TYPE_CHECKING:
    from emu.load.model import Image
    from emu.machine import Machine

SHUTDOWN_STATUS, WAKING_UP = 0x0F, 0xFE         # CMOS byte that firmware looks at, and what QEMU puts there


class Start:
    """Where a machine starts: `image`, and, if there is one, the image of a higher plane, `above`, which runs first."""

    def __init__(self, machine: Machine, image: Image, above: Image | None = None, plane: int = 0,
                 reserved: int = 0) -> None:
        """`plane`: the number of the higher plane; `reserved`: bytes of RAM that it has to itself."""
        self._machine, self.image, self.above, self._plane = machine, image, above, plane
        self._reserved = reserved
        self._msrs = [dict(vcpu.msrs.values) for vcpu in machine.vcpus]
        machine.map.load(image)
        self._enter()

    def _enter(self) -> None:
        machine, image = self._machine, self.image
        self._reset_processors()
        machine.refresh_shadow()
        signature, _, _, features = machine.vcpus[0].cpuid.read(1, 0)
        firmware_state.stand_in(machine.pc, machine.memory, machine.vcpu_count, (signature, features), image,
                                machine.memory_size, self._reserved, machine.report)
        for vcpu in machine.vcpus:
            firmware_state.set_up_memory_types(image.kind, vcpu.msrs)
        boot.start(machine.vcpus[0].plane, image.boot)
        if machine.plane_model is not None:
            machine.plane_model.loaded()
            if self.above is not None:
                machine.map.load(self.above)
                machine.plane_model.launch(self.above, self._plane)

    def _reset_processors(self) -> None:
        self._machine.smm.reset()
        for vcpu in self._machine.vcpus:
            boot.reset(vcpu.plane)
            vcpu.plane.reset_fpu()
            vcpu.plane.set(layout.SMBASE, SMBASE_RESET)
            for field in (layout.SMI, layout.SMM):
                vcpu.plane.set(field, 0)
            vcpu.plane.set(layout.ACTIVITY, WAIT_FOR_SIPI if vcpu.index else RUNNING)

    def possible_again(self) -> bool:
        """Whether a reset can start this again: a launch that was measured happens once."""
        model = self._machine.plane_model
        return self.image.launch is None and (model is None or model.resets)

    def again(self) -> None:
        """After a reset, of which the plane model knows already. Time goes on."""
        machine = self._machine
        self._reset_board()
        for image in filter(None, (self.image, self.above)):
            for segment in image.segments:
                machine.memory.write(segment.gpa, segment.data.ljust(segment.size, b"\0"))
        for gpa in list(machine.engine.translator.pages):
            machine.engine.translator.invalidate(gpa)
        self._enter()
        machine.flush_all()

    def wake(self) -> bool:
        """End S3: RAM is as it was. False where nobody said where to go on."""
        machine, kernel = self._machine, self.image.kind in firmware_state.KINDS
        vector = firmware_state.waking_vector(machine.memory) if kernel else 0
        if kernel and not vector:
            return False
        self._reset_board()
        self._reset_processors()
        plane = machine.vcpus[0].plane
        if kernel:
            firmware_state.set_up_chipset(machine.pc)
            for vcpu in machine.vcpus:
                firmware_state.set_up_memory_types(self.image.kind, vcpu.msrs)
            boot.enter_real(plane, vector >> 4, vector & 0xF)
        else:
            machine.pc.rtc.set_cmos(SHUTDOWN_STATUS, WAKING_UP)
            machine.refresh_shadow()
            boot.start(plane, self.image.boot)
        machine.flush_all()
        return True

    def _reset_board(self) -> None:
        machine = self._machine
        for vcpu, values in zip(machine.vcpus, self._msrs, strict=True):
            vcpu.msrs.values.clear()
            vcpu.msrs.values.update(values)
            vcpu.wait_rules.apply()
            vcpu.counters.refresh()
        machine.pc.reset()
        machine.engine.monitors.disarm_all()
        machine.turn, machine.turn_left, machine.patience = 0, machine.quantum, 1
