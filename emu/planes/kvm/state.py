"""A vCPU's state as KVM's structures have it (Documentation/virt/kvm/api.rst): every plane's vCPU has these calls.

Structures are dictionaries by the names of KVM's fields, XSAVE and LAPIC areas are bytes.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from emu import boot
from emu.irq.lapic import BASE_BSP, BASE_EN, BASE_EXTD
from emu.irq.lapic_msr import GeneralProtection
from emu.load.model import SegmentRegister
from emu.plane import GPR_NAMES, SEGMENT_NAMES
from emu.planes import context as contexts
from emu.planes.kvm import xsave
from emu.planes.kvm.dialects import EBUSY, EINVAL, refuse
from emu.planes.shared import exchange_pkru
from emu.waiting import HALTED, IDLE, RESET_HOLD, RUNNING, UNINITIALIZED, WAIT_FOR_SIPI
from jit import exits, group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.kvm.vm import KvmPlane
    from emu.vcpu import VCpu

(KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_HALTED,
 KVM_MP_STATE_SIPI_RECEIVED) = range(5)
KVM_MP_STATE_AP_RESET_HOLD = 9
ACTIVITIES = {KVM_MP_STATE_RUNNABLE: RUNNING, KVM_MP_STATE_UNINITIALIZED: UNINITIALIZED,
              KVM_MP_STATE_INIT_RECEIVED: WAIT_FOR_SIPI, KVM_MP_STATE_HALTED: HALTED,
              KVM_MP_STATE_AP_RESET_HOLD: RESET_HOLD}
MP_STATES = {activity: state for state, activity in ACTIVITIES.items()} | {IDLE: KVM_MP_STATE_HALTED}
# struct kvm_segment: its names, and where they are in a descriptor's attributes (SDM Vol. 3A 3.4.5)
SEGMENT_BITS = {"type": (0, 15), "s": (4, 1), "dpl": (5, 3), "present": (7, 1), "avl": (12, 1), "l": (13, 1),
                "db": (14, 1), "g": (15, 1)}
CONTROL = {"cr0": layout.CR0, "cr2": layout.CR2, "cr3": layout.CR3, "cr4": layout.CR4, "efer": layout.EFER}
CR0_PE, CR0_PG, CR4_PAE, EFER_LME, EFER_LMA = 1, 1 << 31, 1 << 5, 1 << 8, 1 << 10
MSR_REGISTERS = (layout.gpr(1), layout.gpr(0), layout.gpr(2))       # ECX; EAX and EDX
LAPIC_BYTES = 1024
LAPIC_ID, LAPIC_PPR, LAPIC_ICR_LOW, LAPIC_CURRENT, LAPIC_SVR, LAPIC_DFR, LAPIC_LDR, LAPIC_TPR = (
    0x20, 0xA0, 0x300, 0x390, 0xF0, 0xE0, 0xD0, 0x80)
LAPIC_ISR, LAPIC_TMR, LAPIC_IRR, LAPIC_DIVIDE, LAPIC_INITIAL = 0x100, 0x180, 0x200, 0x3E0, 0x380
SHADOW_STI, SHADOW_STACK = 2, 1                 # KVM_X86_SHADOW_INT_*


class VcpuState:
    """The state of one plane of one vCPU."""

    def __init__(self, plane: KvmPlane, number: int) -> None:
        self.plane, self.id = plane, number
        self.cpu: VCpu = plane.vm.machine.vcpus[number]
        self._state: Plane = self.cpu.planes[plane.number]
        self.sipi_vector = 0
        self.sipi_pending = False

    @property
    def state(self) -> Plane:
        """The plane. KvmError EBUSY: another thread is in KVM_RUN of this vCPU."""
        runs = self.plane.vm.running.get(self.id)
        if runs is not None and runs != get_ident():
            raise refuse(EBUSY, f"vCPU {self.id} runs")
        return self._state

    def get_regs(self) -> dict[str, int]:
        """KVM_GET_REGS."""
        values = {name: self.state.get(layout.gpr(n)) for n, name in enumerate(GPR_NAMES)}
        return values | {"rip": self.state.get(layout.RIP), "rflags": self.state.rflags}

    def set_regs(self, **values: int) -> None:
        """KVM_SET_REGS of those that are named. KvmError EINVAL, with nothing changed: there is no such register."""
        unknown = values.keys() - {"rip", "rflags", *GPR_NAMES}
        if unknown:
            raise refuse(EINVAL, f"no register {', '.join(sorted(unknown))}")
        for name, value in values.items():
            if name == "rip":
                self.state.set(layout.RIP, value)
            elif name == "rflags":
                self.state.rflags = value
                self.state.update_mode()
            else:
                self.state.set(layout.gpr(GPR_NAMES.index(name)), value)
        self.cpu.group.mark(group_layout.ENTERED, self.plane.number, True)

    def get_sregs(self) -> dict[str, Any]:
        """KVM_GET_SREGS."""
        state, number = self.state, self.plane.number
        found: dict[str, Any] = {name: self._segment(n) for n, name in enumerate(SEGMENT_NAMES)}
        for name, base, limit in (("gdt", layout.GDTR_BASE, layout.GDTR_LIMIT),
                                  ("idt", layout.IDTR_BASE, layout.IDTR_LIMIT)):
            found[name] = {"base": state.get(base), "limit": state.get(limit)}
        found |= {name: state.get(offset) for name, offset in CONTROL.items()}
        return found | {"cr8": self.cpu.lapics[number].tpr >> 4, "apic_base": self.cpu.lapics[number].base}

    def _segment(self, number: int) -> dict[str, int]:
        def part(which: int) -> int:
            return self.state.get(layout.seg(number, which))
        attributes = part(layout.SEG_ATTR)
        return {"base": part(layout.SEG_BASE), "limit": part(layout.SEG_LIMIT),
                "selector": part(layout.SEG_SELECTOR),
                **{name: attributes >> shift & mask for name, (shift, mask) in SEGMENT_BITS.items()}}

    def set_sregs(self, **values: Any) -> None:
        """KVM_SET_SREGS of those that are named. The boot processor at its reset vector is not halted any more.
        KvmError EINVAL, with nothing changed: paging without protection, long mode without PAE or with bits that the
        processor has not, no value of IA32_APIC_BASE, names that are not there."""
        new = self.get_sregs() | values
        state = self.state
        long_mode = new["efer"] & EFER_LME and new["cr0"] & CR0_PG
        if any(new[name].keys() != self._segment(0).keys() for name in SEGMENT_NAMES):
            raise refuse(EINVAL, "a segment register without all its fields")
        if (len(new) != len(self.get_sregs()) or new["cr0"] & CR0_PG and not new["cr0"] & CR0_PE
                or new["cr0"] >> 32 or long_mode and not new["cr4"] & CR4_PAE or bool(long_mode) != bool(
                    new["efer"] & EFER_LMA) or new["cr4"] & ~state.get(layout.CR4_VALID)
                or new["efer"] & ~(state.get(layout.EFER_VALID) | EFER_LMA) or not 0 <= new["cr8"] <= 15
                or long_mode and new["cr3"] & ~state.get(layout.PHYS_MASK)
                or new["apic_base"] & ~(state.get(layout.PHYS_MASK) & -4096 | BASE_BSP | BASE_EXTD | BASE_EN)
                or new["apic_base"] & (BASE_EXTD | BASE_EN) == BASE_EXTD):
            raise refuse(EINVAL, "special registers that no processor has")
        for n, name in enumerate(SEGMENT_NAMES):
            fields = new[name]
            attributes = sum((fields[bit] & mask) << shift for bit, (shift, mask) in SEGMENT_BITS.items())
            boot.set_segment(state, n, SegmentRegister(fields["selector"], fields["base"], fields["limit"], attributes))
        for name, base, limit in (("gdt", layout.GDTR_BASE, layout.GDTR_LIMIT),
                                  ("idt", layout.IDTR_BASE, layout.IDTR_LIMIT)):
            state.set(base, new[name]["base"])
            state.set(limit, new[name]["limit"])
        for name, offset in CONTROL.items():
            state.set(offset, new[name])
        state.set(layout.CPL, new["ss"]["dpl"] if new["cr0"] & CR0_PE else 0)
        contexts.load_pdptes(state, self.plane.vm.machine.memory)
        lapic = self.cpu.lapics[self.plane.number]
        lapic.tpr, lapic.base = new["cr8"] << 4, new["apic_base"]
        self.cpu.interrupt_changed(self.plane.number)
        state.update_mode()
        state.flush()
        at_reset = not new["cr0"] & CR0_PE and state.get(layout.RIP) == 0xFFF0 and (
            new["cs"]["selector"], new["cs"]["base"]) == (0xF000, 0xFFFF0000)
        if at_reset and lapic.bsp and state.get(layout.ACTIVITY) == HALTED:
            state.set(layout.ACTIVITY, RUNNING)
        self.cpu.group.mark(group_layout.ENTERED, self.plane.number, True)

    def get_debugregs(self) -> dict[str, Any]:
        """KVM_GET_DEBUGREGS."""
        get = self.state.get
        return {"db": [get(layout.DR + 8 * n) for n in range(4)], "dr6": get(layout.DR6), "dr7": get(layout.DR7),
                "flags": 0}

    def set_debugregs(self, db: list[int], dr6: int, dr7: int, flags: int = 0) -> None:
        """KVM_SET_DEBUGREGS. KvmError EINVAL: flags, or bits 63:32 of DR6 or DR7."""
        if flags or dr6 >> 32 or dr7 >> 32 or len(db) != 4:
            raise refuse(EINVAL, f"DR6 {dr6:#x}, DR7 {dr7:#x}, flags {flags:#x}")
        for n, value in enumerate(db):
            self.state.set(layout.DR + 8 * n, value)
        self.state.set(layout.DR6, dr6)
        self.state.set(layout.DR7, dr7)
        self.state.flush()

    def get_vcpu_events(self) -> dict[str, int]:
        """KVM_GET_VCPU_EVENTS: an exception or interrupt that is on its way, NMI and the interrupt shadow."""
        get = self.state.get
        pending, kind = get(layout.FAULT_PENDING), get(layout.FAULT_KIND)
        shadow = {1: SHADOW_STI, 2: SHADOW_STACK}.get(get(layout.SHADOW), 0)
        is_interrupt = int(pending and kind == exits.KIND_INTERRUPT)
        return {"exception_injected": int(pending and not is_interrupt), "exception_nr": get(layout.FAULT_VECTOR),
                "exception_has_error_code": get(layout.FAULT_HAS_ERROR),
                "exception_error_code": get(layout.FAULT_ERROR), "interrupt_injected": is_interrupt,
                "interrupt_nr": get(layout.FAULT_VECTOR) if is_interrupt else 0, "interrupt_shadow": shadow,
                "nmi_pending": get(layout.NMI), "nmi_masked": get(layout.NMI_BLOCKED),
                "sipi_vector": self.sipi_vector}

    def set_vcpu_events(self, **values: int) -> None:
        """KVM_SET_VCPU_EVENTS of those that are named. KvmError EINVAL: a name or vector that is not one."""
        new = self.get_vcpu_events()
        if not values.keys() <= new.keys() or not 0 <= values.get("exception_nr", 0) < 32 \
                or not 0 <= values.get("interrupt_nr", 0) < 256 or not 0 <= values.get("sipi_vector", 0) < 256:
            raise refuse(EINVAL, f"vCPU events {values}")
        new |= values
        if "exception_injected" in values or "interrupt_injected" in values:
            self.state.set(layout.FAULT_PENDING, 0)
        if new["exception_injected"] and "exception_injected" in values:
            error = new["exception_error_code"] if new["exception_has_error_code"] else None
            self.state.raise_exception(new["exception_nr"], error)
        elif new["interrupt_injected"] and "interrupt_injected" in values:
            self.state.inject_interrupt(new["interrupt_nr"])
        self.state.set(layout.SHADOW, {SHADOW_STI: 1, SHADOW_STACK: 2}.get(new["interrupt_shadow"], 0))
        self.sipi_vector = new["sipi_vector"]
        self.state.set(layout.NMI, int(bool(new["nmi_pending"])))
        self.state.set(layout.NMI_BLOCKED, int(bool(new["nmi_masked"])))

    def get_msr(self, index: int) -> int:
        """KVM_GET_MSRS of one. KvmError EINVAL: there is none."""
        return self._msr(index, None)

    def set_msr(self, index: int, value: int) -> None:
        """KVM_SET_MSRS of one. KvmError EINVAL: there is none, or a value that it does not take."""
        self._msr(index, value)

    def _msr(self, index: int, value: int | None) -> int:
        kept = {register: self.state.get(register) for register in MSR_REGISTERS}
        for register, word in zip(MSR_REGISTERS, (index, (value or 0) & 0xFFFFFFFF, (value or 0) >> 32), strict=True):
            self.state.set(register, word)
        status = self.cpu.engine.call("read_msr" if value is None else "write_msr", self.state)
        found = self.state.get(layout.gpr(0)) | self.state.get(layout.gpr(2)) << 32
        for register, word in kept.items():
            self.state.set(register, word)
        if status == exits.OK:
            self.state.update_mode()
            return found
        if status not in (exits.RDMSR, exits.WRMSR):
            raise refuse(EINVAL, f"MSR {index:#x}")
        own, group = self.plane.number, self.cpu.group
        active = group.active
        group.set(group_layout.ACTIVE, own)             # MSR owners serve the plane that runs
        try:
            if value is not None:
                self.cpu.msrs.write(index, value)
                return value
            return self.cpu.msrs.read(index)
        except GeneralProtection as error:
            raise refuse(EINVAL, f"MSR {index:#x}") from error
        finally:
            group.set(group_layout.ACTIVE, active)

    def get_xcr0(self) -> int:
        """KVM_GET_XCRS: XCR0."""
        return self.state.get(layout.XCR0)

    def set_xcr0(self, value: int) -> None:
        """KVM_SET_XCRS. KvmError EINVAL: not a value that XSETBV takes."""
        if not value & 1 or value & ~self.state.get(layout.XCR0_VALID) or value & 6 == 4:
            raise refuse(EINVAL, f"XCR0 {value:#x}")
        self.state.set(layout.XCR0, value)
        self.state.update_mode()

    def get_xsave(self) -> bytes:
        """KVM_GET_XSAVE: the standard form, 4096 bytes, of all components that the processor has."""
        exchange_pkru(self.cpu.plane, self.state)           # to where the FPU file has the active plane's ...
        area = xsave.pack(self.state)
        exchange_pkru(self.state, self.cpu.plane)           # ... and back
        return area

    def set_xsave(self, area: bytes) -> None:
        """KVM_SET_XSAVE. KvmError EINVAL: components or MXCSR bits that the processor has not."""
        exchange_pkru(self.cpu.plane, self.state)
        try:
            xsave.unpack(self.state, area)
        except ValueError as error:
            raise refuse(EINVAL, str(error)) from error
        finally:
            exchange_pkru(self.state, self.cpu.plane)
            self.state.flush()                              # PKRU decides what is in the TLBs

    def get_lapic(self) -> bytes:
        """KVM_GET_LAPIC: the 1,024 bytes of the register page."""
        lapic = self.cpu.lapics[self.plane.number]
        area = bytearray(LAPIC_BYTES)
        for offset in range(0, LAPIC_BYTES, 16):
            value = lapic.read_register(offset)
            area[offset:offset + 4] = ((value or 0) & 0xFFFFFFFF).to_bytes(4, "little")
        return bytes(area)

    def set_lapic(self, area: bytes) -> None:
        """KVM_SET_LAPIC. KvmError EINVAL: not 1,024 bytes. A timer that counts starts again from its initial count."""
        if len(area) != LAPIC_BYTES:
            raise refuse(EINVAL, f"{len(area)} bytes of local APIC state")

        def word(offset: int) -> int:
            return int.from_bytes(area[offset:offset + 4], "little")

        def vectors(offset: int) -> int:
            return sum(word(offset + 16 * n) << 32 * n for n in range(8))

        lapic = self.cpu.lapics[self.plane.number]
        lapic.write_register(LAPIC_SVR, word(LAPIC_SVR))
        for offset in (LAPIC_TPR, LAPIC_LDR, LAPIC_DFR, LAPIC_DIVIDE, *lapic.lvt, LAPIC_INITIAL):
            lapic.write_register(offset, word(offset))
        lapic.isr, lapic.tmr, lapic.irr = vectors(LAPIC_ISR), vectors(LAPIC_TMR), vectors(LAPIC_IRR)
        self.cpu.interrupt_changed(self.plane.number)

    def get_mp_state(self) -> int:
        """KVM_GET_MP_STATE; waits that may end early count as running, and HLT where it does not exit. A start-up IPI
        that waits to be seen is seen."""
        self.take_startup()
        activity = self.state.get(layout.ACTIVITY)
        if activity == HALTED and self.plane.vm.halts_unseen:
            return KVM_MP_STATE_RUNNABLE
        return MP_STATES.get(activity, KVM_MP_STATE_RUNNABLE)

    def set_mp_state(self, value: int) -> None:
        """KVM_SET_MP_STATE; SIPI_RECEIVED is INIT_RECEIVED with a start-up IPI on its way (its vector:
        KVM_SET_VCPU_EVENTS). KvmError EINVAL: not a state of x86, or one that needs a local APIC in the kernel."""
        activity = ACTIVITIES.get(KVM_MP_STATE_INIT_RECEIVED if value == KVM_MP_STATE_SIPI_RECEIVED else value)
        if activity is None or value and not self.plane.vm.irqchip:
            raise refuse(EINVAL, f"MP state {value}")
        self.state.set(layout.ACTIVITY, activity)
        self.sipi_pending = value == KVM_MP_STATE_SIPI_RECEIVED

    def take_startup(self) -> None:
        """Start where a pending start-up IPI says."""
        if self.sipi_pending:
            self.sipi_pending = False
            if self.state.get(layout.ACTIVITY) == WAIT_FOR_SIPI:
                boot.startup(self.state, self.sipi_vector)
                self.state.set(layout.ACTIVITY, RUNNING)
                self.cpu.group.mark(group_layout.ENTERED, self.plane.number, True)
