"""A stand-in for the engine side: its "image" is a text file whose first word says what the guest shall do.

Run as a script it is the `strata` command on this machine, for tests that need a process and a terminal.
"""
import queue
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace


class ImageError(Exception):
    """As emu.load.image.ImageError."""


class FakeMachine:
    """As emu.machine.Machine, with guests: exit V, echo, spin, crash, limits, pieces, bad, switch N."""

    def __init__(self, memory=256 << 20, vcpus=1, cpu="max", planes="none", policy=None, engine="auto", seed=0,
                 quantum=10_000, test_device=False, paravirt="none", serial_out=None, debug_out=None, report=None,
                 progress=None, disks=(), virtio_console=False, devices=(), hypervisor=None):
        if cpu != "max":
            raise ValueError(f"no CPU model named {cpu!r};\nthere are: max")
        self.options = dict(memory=memory, vcpus=vcpus, planes=planes, policy=policy, engine=engine, seed=seed,
                            quantum=quantum, test_device=test_device, paravirt=paravirt)
        self.serial_out, self.debug_out, self.progress = serial_out, debug_out, progress
        self.icount, self.seconds, self.switches, self.counters = 0, 0.0, [], {"tlb_fills": 3}
        self.intercepts = []
        self._input = queue.Queue()

    def load(self, path, kind="auto", load_address=None, mode=None, initrd=None, append="", bios=None,
             vtl1=None, vtl2=None):
        self.loaded = dict(path=path, kind=kind, load_address=load_address, mode=mode, initrd=initrd, append=append,
                           bios=bios, vtl1=vtl1, vtl2=vtl2)
        self._guest = Path(path or bios).read_text().split()
        if self._guest[0] == "bad":
            raise ImageError(f"{path}: e_phoff: 0x999 is beyond the end of the file")

    def feed_serial(self, data, more=False):
        for byte in data:
            self._input.put(byte)

    def run(self, max_insns=None, timeout=None):
        verb, *arguments = self._guest
        self.icount, self.seconds = 1000, 0.25
        self.limits = dict(max_insns=max_insns, timeout=timeout)
        return getattr(self, f"_{verb}")(*arguments)

    def _stop(self, reason, status, message=""):
        return SimpleNamespace(reason=reason, status=status, message=message, vcpu=0, plane=0, rip=0x100040,
                               icount=self.icount)

    def _exit(self, value):
        self.serial_out(b"hello\n")
        self.debug_out(b"debug port\n")
        return self._stop("exit", int(value) << 1 | 1)

    def _pieces(self):
        self.serial_out(b"no newline")
        return self._stop("exit", 1)

    def _echo(self):
        self.serial_out(b"ready\n")
        while (byte := self._input.get()) != ord("q"):
            self.serial_out(b"<%02x>" % byte)
        return self._stop("exit", 1)

    def _spin(self):
        self.serial_out(b"spinning\n")
        try:
            while True:
                self._input.get(timeout=60)
        except KeyboardInterrupt:
            return self._stop("interrupted", 130, "stopped from the keyboard at plane 0, RIP 0x100040")

    def _crash(self):
        return self._stop("triple-fault", 125, "triple fault at plane 0, RIP 0x100040 (ud2): is there an IDT?")

    def _limits(self):
        return self._stop("max-insns", 124, f"out of instructions: {self.limits}")

    def _switch(self, calls):
        self.switches = vsm_calls(int(calls))
        return self._stop("exit", 1)


def vsm_calls(calls):
    """The switches of a guest that calls VTL1 so many times: 90 + k % 3 instructions there, 40 back in VTL0."""
    switches, icount = [], 5000
    for k in range(calls):
        switches.append({"icount": icount, "vcpu": 0, "from": 0, "to": 1, "cause": "HvCallVtlCall",
                         "rip_from": 0x1000be, "rip_to": 0xffff800000201000,
                         "registers": ["RIP", "RSP", "RFLAGS", "CR3"]})
        icount += 90 + k % 3
        switches.append({"icount": icount, "vcpu": 0, "from": 1, "to": 0, "cause": "HvCallVtlReturn",
                         "rip_from": 0xffff800000201044, "rip_to": 0x1000c1, "registers": ["RIP", "RSP"]})
        icount += 40
    return switches


def modules():
    """The engine's modules as far as the command line imports them, by name."""
    machine, image, planes = ModuleType("emu.machine"), ModuleType("emu.load.image"), ModuleType("emu.planes")
    machine.Machine = FakeMachine
    image.ImageError = ImageError
    planes.AVAILABLE = ("none", "vsm")
    planes.POLICIES = ("lowest-runnable",)
    return {module.__name__: module for module in (machine, image, planes)}


if __name__ == "__main__":
    sys.modules.update(modules())
    from tools.cli.main import main
    sys.exit(main())
