"""The machine: vCPUs, memory, a PC's devices and virtual time, from an image to a `Stop`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from emu import boot, firmware_state, stop
from emu.clock import Clock
from emu.dev.virtio.disk import Disk
from emu.engine import Engine
from emu.guestmap import GuestMap
from emu.inputs import InputLog
from emu.isa import cpu as cpus
from emu.load.beside import load_beside
from emu.load.image import load_image
from emu.load.model import Image, ImageError
from emu.load.symbols import SymbolTable
from emu.mem.ram import PAGE
from emu.paravirt import AVAILABLE as PARAVIRT
from emu.paravirt.kvm import KvmInterface
from emu.pc import PC, PcHooks
from emu.plane import Plane
from emu.planes.apic import ActiveApicMsrs
from emu.planes.journal import joined
from emu.scheduling import Scheduling
from emu.smm import SystemManagement
from emu.starting import Start
from emu.stop import Stop
from emu.vcpu import VCpu
from emu.waiting import RESET_HOLD, RUNNING, WAIT_FOR_SIPI
from jit import exits, layout, pmap

ENGINES = ("auto", "interp", "blocks")
SWITCHES_KEPT = 100_000         # plane switches that a report shows at most
QUANTUM, MAX_QUANTUM = 10_000, 1_000_000    # instructions of one vCPU before the next one runs


def _pages(gpa: int, size: int) -> list[tuple[int, int]]:
    """(address, bytes) of the parts of a range that lie in one page each."""
    starts = [gpa, *range((gpa | PAGE - 1) + 1, gpa + size, PAGE)]
    return [(at, min((at | PAGE - 1) + 1, gpa + size) - at) for at in starts] if size else []


def _nothing(*_: Any) -> None:
    """The default of callbacks that nobody needs."""


class Machine(Scheduling):
    """An x86-64 PC.

    memory: RAM in bytes, a multiple of 4096. vcpus: 1 to 255. cpu: a name from emu.isa.models.MODELS, then
    ",+EXTENSION" and ",-EXTENSION" as wanted. planes: a name from
    `emu.planes.AVAILABLE`. engine: a name from ENGINES. seed: what random numbers start from. quantum: how many
    instructions each of several vCPUs runs in turn. test_device: with the device of emu/dev/testdev.py. disks: image
    files, one virtio block device each; virtio_console: with that device, which then receives the input. devices: names
    from `emu.pc_config.DEVICES`. paravirt: a
    name from `emu.paravirt.AVAILABLE`. hypervisor: for planes "snp", a class in place of
    emu.planes.snp.hypervisor.Hypervisor, or the name of a file that defines one; snp: an
    emu.planes.snp.options.Options in place of a policy's. The callbacks receive the guest's serial bytes, its
    debug-port bytes, one-line reports about what is not implemented, and what is being compiled. ValueError names an
    argument that is out of range.
    """

    def __init__(self, *, memory: int = 256 << 20, vcpus: int = 1, cpu: str = "max", planes: str = "none",
                 policy: str | None = None, engine: str = "auto", seed: int = 0, quantum: int = QUANTUM,
                 test_device: bool = False, disks: Sequence[str] = (), virtio_console: bool = False,
                 devices: Sequence[str] = (),
                 paravirt: str = "none", hypervisor: Any = None, snp: Any = None,
                 serial_out: Callable[[bytes], None] | None = None,
                 debug_out: Callable[[bytes], None] | None = None,
                 report: Callable[[str], None] | None = None, progress: Callable[[str], None] | None = None) -> None:
        from emu import planes as plane_models
        for name, value, known in (("engine", engine, ENGINES), ("paravirt", paravirt, PARAVIRT),
                                   ("planes", planes, plane_models.AVAILABLE)):
            if value not in known:
                raise ValueError(f"{name} {value!r}: not one of {', '.join(known)}")
        if not 1 <= quantum <= MAX_QUANTUM:
            raise ValueError(f"quantum {quantum}: not 1 to {MAX_QUANTUM} instructions")
        self.quantum = quantum
        self.cpu = cpus.parse(cpu)
        self.memory_size, self.vcpu_count, self.engine_name, self.seed = memory, vcpus, engine, seed
        self.options = {"memory": memory, "vcpus": vcpus, "cpu": cpu, "planes": planes, "policy": policy or "",
                        "devices": [len(disks), virtio_console, *devices]}
        self.report = report or _nothing
        self.map = GuestMap(memory, *plane_models.backings(planes, vcpus))
        self.memory = self.map.memory
        self.engine = Engine(self.memory, mode=engine, progress=progress, cpu=self.cpu, keep_decoded=True)
        serial, debug = serial_out or _nothing, debug_out or _nothing
        self._shadow: list[Any] = []
        self.vcpus: list[VCpu] = []
        self.smm = SystemManagement(self)
        self.pc = PC(memory, PcHooks(
            report=self.report, request_exit=self._guest_exit, request_reset=self._guest_reset,
            power_off=lambda: self.stop(stop.POWER_OFF, "the guest switched the machine off"),
            suspend=self._sleep_begins, wake=self._sleep_ends, serial=self._once(serial), debug=self._once(debug),
            interrupt=self._interrupt_changed, signal=self._signal, a20=self._a20, shadow=self._shadow_changed,
            smram=self.smm.register_changed,
            read_memory=self._device_read, write_memory=self._device_write), cpus=vcpus,
            address_bits=self.cpu.model.physical, x2apic=self.cpu.offers("x2apic"), test_device=test_device,
            disks=[Disk(path) for path in disks], virtio_console=virtio_console,
            devices=devices)
        firmware_state.offer_tables(self.pc, vcpus)
        self.clock: Clock = self.pc.clock
        self.vcpus = [VCpu(self, n) for n in range(vcpus)]
        self.input = InputLog(self.pc.uart.feed if self.pc.console is None else self.pc.console.feed)
        self.frontier = 0
        self.observer = None
        for vcpu in self.vcpus:
            vcpu.msrs.owners.append(ActiveApicMsrs(vcpu))
            vcpu.cpuid.apic_enabled = vcpu.apic_enabled
        self.plane_model = plane_models.create(planes, self, policy, hypervisor, snp)
        if planes != "none" and paravirt != "none":
            raise ValueError(f"paravirt {paravirt!r}: planes {planes!r} come with an interface of their own")
        self.paravirt = KvmInterface(self) if paravirt == "kvm" else None
        self.image: Image | None = None
        self._start: Start | None = None
        self.restarts = False           # whether a reset starts the guest again, instead of ending the run
        self.symbols = SymbolTable(())
        self.seconds = 0.0
        self.stopping: Stop | None = None
        self.reschedule = False
        self.turn, self.turn_left = 0, quantum      # vCPU whose turn it is, and instructions left of it

    # --- the public side ---------------------------------------------------------------------------------------------

    @property
    def switches(self) -> list[dict[str, Any]]:
        """The last SWITCHES_KEPT plane switches, in order: icount (the clock's instruction count after the instruction
        that caused it), vcpu, from, to, cause, rip_from, rip_to, registers (names of what was put aside)."""
        if self.plane_model is None:
            return []
        saved = list(self.plane_model.saved)
        found = [(s.icount, v.index, s) for v in self.vcpus for s in v.group.records(SWITCHES_KEPT)]
        found.sort(key=lambda entry: entry[:2])
        return [{"icount": s.icount, "vcpu": vcpu, "from": s.source, "to": s.target, "cause": s.cause,
                 "rip_from": s.rip_from, "rip_to": s.rip_to, "registers": saved}
                for _, vcpu, s in found[-SWITCHES_KEPT:]]

    @property
    def intercepts(self) -> list[dict[str, Any]]:
        """The last accesses of planes that others were told of, in order: icount, vcpu, plane, to, kind, what, rip,
        instruction, and as far as `switches` goes back entered, cause, resumed, rip_after."""
        return [] if self.plane_model is None else joined(self.plane_model.intercepts_seen, self.switches)

    @property
    def counters(self) -> dict[str, int]:
        """Totals since the machine was made: plane_switches."""
        return {"plane_switches": sum(vcpu.group.switches for vcpu in self.vcpus)}

    def plane_name(self, number: int) -> str:
        """What messages call a plane."""
        return f"plane {number}" if self.plane_model is None else self.plane_model.plane_name(number)

    def load(self, path: str | None, kind: str = "auto", load_address: int | None = None, mode: int | None = None,
             initrd: str | None = None, append: str = "", bios: str | None = None, vtl1: str | None = None,
             vtl2: str | None = None) -> Image:
        """Load an image and put the machine at its entry. `vtl1`, `vtl2`: an image that runs first, in VTL1 or VTL2 of
        Hyper-V's planes (emu/load/beside.py). ImageError: nothing was changed."""
        above, reserved = None, 0
        first, plane = (vtl1, 1) if vtl2 is None else (vtl2, 2)
        if first is not None:
            if vtl1 and vtl2:
                raise ImageError(vtl1, "vtl1", "one image runs first, and with one for VTL2 that is it")
            if self.plane_model is None or plane > self.plane_model.launches:
                raise ImageError(first, f"vtl{plane}", f"only a machine with planes 'vsm' has a VTL{plane}" + (
                    ", and a policy that ends in -vtl2" if plane > 1 else ""))
            above, reserved = load_beside(first, self.memory_size)
        image = load_image(path, kind=kind, memory=self.memory_size, load_address=load_address, mode=mode,
                           initrd=initrd, append=append, bios=bios, reserved=reserved,
                           vcpus=self.vcpu_count, tables=firmware_state.tables_to_come(self.pc, self.vcpu_count))
        if image.launch is not None and self.options["planes"] != "snp":
            raise ImageError(image.path, "planes", "the file starts an SEV-SNP guest, which needs --planes snp")
        self.image = image
        self.symbols = SymbolTable(image.symbols + (above.symbols if above else ()))
        self._start = Start(self, image, above, plane, reserved)
        return image

    def feed_serial(self, data: bytes, more: bool = False) -> None:
        """Bytes for the guest to receive on COM1, from any thread. With `more`, further ones may come: a guest that is
        idle then waits for them instead of ending the run."""
        self.input.put(data, more)

    def run(self, max_insns: int | None = None, timeout: float | None = None) -> Stop:
        """Run as `run_plain` does; a debugger adds its own (emu/api)."""
        return self.run_plain(max_insns, timeout)

    def stop(self, reason: str, message: str, vcpu: VCpu | None = None, status: int | None = None) -> None:
        """End the run at the next opportunity; the first caller's reason counts."""
        if self.stopping is not None:
            return
        vcpu = vcpu or self.vcpus[self.turn]
        plane = vcpu.plane
        if reason not in (stop.EXIT, stop.TRIPLE_FAULT, stop.UNIMPLEMENTED, stop.POWER_OFF):
            message = f"{message} (at {vcpu.where(plane)})"
        self.stopping = Stop(reason, stop.STATUS[reason] if status is None else status, message, vcpu.index,
                             plane.number, plane.get(layout.RIP), self.icount)

    # --- what devices ask --------------------------------------------------------------------------------------------

    def _guest_exit(self, status: int) -> None:
        self.stop(stop.EXIT, f"the guest ended the run with status {status}", status=status & 0xFF)

    def _guest_reset(self, source: str) -> None:
        if self.plane_model is not None:
            self.plane_model.reset()
        self.stop(stop.RESET, f"the guest asked for a reset through {source}")

    def _sleep_begins(self) -> bool:
        """S3 begins: the processors are off until it ends."""
        if self.plane_model is not None or self._start is None:
            self.report("ACPI sleep state S3: not with planes; ignored")
            return False
        for vcpu in self.vcpus:
            vcpu.waiting.end(vcpu.plane)
            vcpu.plane.set(layout.ACTIVITY, WAIT_FOR_SIPI)
        return True

    def _sleep_ends(self) -> None:
        if self._start is None or not self._start.wake():
            self._guest_reset("S3, which has no waking vector to go on at")

    def goes_on(self) -> bool:
        """Where a reset is to start the guest again, that has been done."""
        start = self._start
        if self.stopping is None or self.stopping.reason != stop.RESET or not self.restarts or start is None:
            return False
        if not start.possible_again():
            return False
        self.report(f"{self.stopping.message}; starting again")
        self.stopping = None
        start.again()
        return True

    def _interrupt_changed(self, index: int) -> None:
        if self.vcpus:
            self.vcpus[index].interrupt_changed(0)
            self._preempt(index)

    def _preempt(self, index: int) -> None:
        """Another vCPU than the one that runs has an event: its turn comes before the quantum is over."""
        if index != self.turn and self.vcpus[index].planes[0].get(layout.INTERRUPT):
            self.reschedule = True

    def _signal(self, index: int, kind: str, vector: int) -> None:
        if not self.vcpus:
            return
        plane = self.vcpus[index].planes[0]
        if kind == "nmi":
            if self.plane_model is None:
                plane.set(layout.NMI, 1)
            else:
                self.plane_model.nmi(self.vcpus[index], 0)
            self.reschedule = self.reschedule or index != self.turn
        elif kind in ("init", "sipi") and self.plane_model and not self.plane_model.accepts_startup(self.vcpus[index]):
            return
        elif kind == "sipi" and self.plane_model and self.plane_model.intercepts_startup(self.vcpus[index], vector):
            return
        elif kind == "init":
            if not self.smm.holds_init(self.vcpus[index]):
                self.initialise(self.vcpus[index])
        elif kind == "sipi" and plane.get(layout.ACTIVITY) == RESET_HOLD:
            plane.set(layout.ACTIVITY, RUNNING)
            self.reschedule = True
        elif kind == "sipi" and plane.get(layout.ACTIVITY) == WAIT_FOR_SIPI:
            boot.startup(plane, vector)
            plane.set(layout.ACTIVITY, RUNNING)
            self.reschedule = True
        elif kind == "smi":
            if self.plane_model is None:
                self.smm.request(self.vcpus[index])
                self.reschedule = self.reschedule or index != self.turn
            else:
                self.report("SMI: with planes there is no system-management mode; ignored")

    def initialise(self, vcpu: VCpu) -> None:
        """INIT: the processor waits for a start-up IPI, the bootstrap processor starts at the reset vector (SDM Vol. 3A
        10.4.2)."""
        lapic = self.pc.lapics[vcpu.index]
        lapic.init()
        boot.initialise(vcpu.planes[0])
        self.engine.monitors.disarm(vcpu.index)
        vcpu.planes[0].set(layout.ACTIVITY, RUNNING if lapic.bsp else WAIT_FOR_SIPI)

    def _a20(self, enabled: bool) -> None:
        for plane in self.all_planes():
            plane.set(layout.A20_MASK, (1 << 64) - 1 if enabled else ~(1 << 20))
            plane.flush()

    def refresh_shadow(self) -> None:
        """What reads and writes 0xC0000-0xFFFFF follows the host bridge again, after ROMs came."""
        if self.image is not None and self.image.roms and self._shadow:
            self._shadow_changed(self._shadow)

    def _shadow_changed(self, segments: list[Any]) -> None:
        self._shadow = segments
        for gpa in self.map.shadow(segments):
            self.engine.translator.invalidate(gpa)
        self.engine.monitors.disarm_all()
        self.flush_all()

    def _device_read(self, gpa: int, size: int) -> bytes:
        if not self.memory.backed(gpa, size):
            raise ValueError(f"{size} bytes at {gpa:#x} are not in RAM")
        return b"".join(self.memory.read(self._device_address(at), n) if self._device_may(at, write=False)
                        else b"\xff" * n for at, n in _pages(gpa, size))

    def _device_write(self, gpa: int, data: bytes) -> None:
        for at, n in _pages(gpa, len(data)):
            if self._device_may(at, write=True):
                self.dma_write(self._device_address(at), data[at - gpa:at - gpa + n])

    def _device_address(self, gpa: int) -> int:
        return gpa if self.plane_model is None else self.plane_model.device_address(gpa)

    def _device_may(self, gpa: int, write: bool) -> bool:
        return self.plane_model is None or self.plane_model.device_may_access(gpa, write)

    def dma_write(self, gpa: int, data: bytes) -> None:
        """A hypervisor's write to guest RAM; decoded code there is dropped. ValueError: outside RAM or
        on a hypervisor's read-only page."""
        if not self.memory.backed(gpa, len(data)):
            raise ValueError(f"{len(data)} bytes at {gpa:#x} are not in RAM")
        pages = range(gpa & -PAGE, gpa + len(data), PAGE)
        if any(self.memory.map[page // PAGE] & pmap.GUARDED for page in pages):
            raise ValueError(f"{len(data)} bytes at {gpa:#x} are on a read-only page of the hypervisor")
        for page in pages:
            if self.memory.map[page // PAGE] & pmap.CODE:
                self.engine.translator.invalidate(page)
            if self.memory.map[page // PAGE] & pmap.WATCHED:
                first, end = max(gpa, page), min(gpa + len(data), page + PAGE)
                self.engine.note_write(self.vcpus[0].plane.address, first, end - first)
        self.memory.write(gpa, data)

    def exists(self, gpa: int) -> bool:
        """Whether something answers at a guest-physical address: memory, a device or the chipset's shadow RAM."""
        return self.memory.backed(gpa, 1) or self.pc.bus.claimed(gpa) or self.map.mixed_read(gpa, 1) is not None

    def device_access(self, vcpu: VCpu, kind: int, address: int, size: int, value: int) -> int:
        """A port or memory-mapped access that compiled code passed on; gives the value read, or 0."""
        bus = self.pc.bus
        model = self.clock.model
        if kind in (exits.IO_PORT_READ, exits.IO_PORT_WRITE):
            self.clock.skip_to(self.clock.now + model.port_ns)
        elif not vcpu.lapic.covers(address):
            self.clock.skip_to(self.clock.now + model.mmio_ns)
        if kind == exits.IO_PORT_READ:
            return bus.port_read(address, size)
        if kind == exits.IO_PORT_WRITE:
            bus.port_write(address, size, value)
            return 0
        if kind == exits.IO_MMIO_READ:
            mixed = self.map.mixed_read(address, size)
            return self.pc.mmio_read(vcpu.lapic, address, size) if mixed is None else mixed
        if not self.map.mixed_write(address, value.to_bytes(size, "little")):
            self.pc.mmio_write(vcpu.lapic, address, size, value)
        return 0

    # --- memory as a plane sees it -----------------------------------------------------------------------------------

    def all_planes(self) -> list[Plane]:
        """Every plane of every vCPU."""
        return [plane for vcpu in self.vcpus for plane in vcpu.planes]

    def flush_all(self) -> None:
        """Drop every cached translation of every plane."""
        for plane in self.all_planes():
            plane.flush()

    def withdraw_writes(self, gpa: int) -> None:
        """A page came to hold decoded code: no plane may write it through its TLB any more."""
        for plane in self.all_planes():
            self.engine.withdraw_writes(plane.address, gpa)

    def poke(self, gpa: int, data: bytes) -> None:
        """A debugger's write to backed guest-physical memory, ROM included; decoded code there is dropped."""
        for page in range(gpa & -PAGE, gpa + len(data), PAGE):
            self.engine.translator.invalidate(page)
        self.memory.write(gpa, data)
        self.flush_all()
