"""The synthetic MSRs (TLFS, appendix "Synthetic MSRs"): each access goes to the instance of the VTL that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.clock import SECOND
from emu.irq import lapic
from emu.irq.lapic_msr import GeneralProtection
from emu.planes.vsm import stimer, synic
from emu.waiting import IDLE
from jit import layout

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

(GUEST_OS_ID, HYPERCALL, VP_INDEX, RESET) = range(0x40000000, 0x40000004)
VP_RUNTIME, TIME_REF_COUNT, REFERENCE_TSC, TSC_FREQUENCY, APIC_FREQUENCY = (
    0x40000010, 0x40000020, 0x40000021, 0x40000022, 0x40000023)
NPIEP_CONFIG = 0x40000040
EOI, ICR, TPR, VP_ASSIST_PAGE = range(0x40000070, 0x40000074)
GUEST_IDLE = 0x400000F0
CRASH_P0, CRASH_PARAMETERS, CRASH_CTL = 0x40000100, 5, 0x40000105
CRASH_NOTIFY, CRASH_MESSAGE, CRASH_MESSAGE_BYTES = 1 << 63, 1 << 62, 4096
ENABLE, LOCKED = 1, 2
PAGE_BITS = ~0xFFF
TICKS = 10_000_000              # reference time: 100 ns
NS_PER_TICK = SECOND // TICKS

Read = Callable[["Vp", int], int]
Write = Callable[["Vp", int, int], None]


def read_only(vp: Vp, vtl: int, value: int) -> None:
    """A write of a read-only register."""
    raise GeneralProtection


def write_only(vp: Vp, vtl: int) -> int:
    """A read of a write-only register."""
    raise GeneralProtection


def write_guest_os_id(vp: Vp, vtl: int, value: int) -> None:
    """0 takes the VTL's hypercall page away."""
    state = vp.partition.vtls[vtl]
    state.guest_os_id = value
    if value == 0 and state.hypercall & ENABLE:
        vp.partition.pages.disable(vtl, state.hypercall & PAGE_BITS)
        state.hypercall &= ~ENABLE


def write_hypercall(vp: Vp, vtl: int, value: int) -> None:
    """Moves, enables or disables the VTL's hypercall page; without GUEST_OS_ID it stays disabled."""
    partition, state = vp.partition, vp.partition.vtls[vtl]
    if state.hypercall & LOCKED:
        raise GeneralProtection
    if not state.guest_os_id:
        value &= ~ENABLE
    if value & ENABLE and not partition.may_overlay(vtl, value & PAGE_BITS):
        raise GeneralProtection
    if state.hypercall & ENABLE:
        partition.pages.disable(vtl, state.hypercall & PAGE_BITS)
    if value & ENABLE:
        partition.pages.enable(vtl, value & PAGE_BITS)
    state.hypercall = value


def write_reset(vp: Vp, vtl: int, value: int) -> None:
    if value & 1:
        vp.partition.machine.pc.hooks.request_reset("the Hyper-V RESET MSR")


def time_ref_count(vp: Vp, vtl: int) -> int:
    """Partition reference time in units of 100 ns."""
    return vp.partition.machine.clock.now // NS_PER_TICK


def vp_runtime(vp: Vp, vtl: int) -> int:
    """Time for which the virtual processor has run, in units of 100 ns."""
    model = vp.partition.machine.clock.model
    return vp.vcpu.retired() * model.ns_numerator // model.ns_denominator // NS_PER_TICK


def write_reference_tsc(vp: Vp, vtl: int, value: int) -> None:
    """The page tells time = (TSC * scale >> 64) + offset (TLFS, "Timers", reference TSC page): u32 sequence, u32
    reserved, u64 scale, s64 offset."""
    partition = vp.partition
    if value & ENABLE:
        if not partition.may_overlay(vtl, value & PAGE_BITS):
            raise GeneralProtection
        scale = (TICKS << 64) // partition.machine.clock.model.tsc_hz
        page = (1).to_bytes(8, "little") + min(scale, (1 << 64) - 1).to_bytes(8, "little") + bytes(8)
        partition.store(vtl, value & PAGE_BITS, page)
    partition.vtls[vtl].reference_tsc = value


def write_assist_page(vp: Vp, vtl: int, value: int) -> None:
    if value & ENABLE and not vp.partition.may_overlay(vtl, value & PAGE_BITS):
        raise GeneralProtection
    vp.set_assist_page(vtl, value)


def write_npiep(vp: Vp, vtl: int, value: int) -> None:
    """Bits 3:0 take SGDT, SIDT, SLDT and STR from CPL above 0; the others are reserved (TLFS,
    HV_X64_MSR_NPIEP_CONFIG_CONTENTS)."""
    if value & ~(layout.NPIEP_SGDT | layout.NPIEP_SIDT | layout.NPIEP_SLDT | layout.NPIEP_STR):
        raise GeneralProtection
    vp.vcpu.planes[vtl].set(layout.NPIEP, value)


def write_eoi(vp: Vp, vtl: int, value: int) -> None:
    """Bits 63:32 are ignored: guests leave garbage there."""
    vp.vcpu.lapics[vtl].write_register(lapic.EOI, 0)


def write_icr(vp: Vp, vtl: int, value: int) -> None:
    apic = vp.vcpu.lapics[vtl]
    apic.icr = value >> 32 << 32 | value & lapic.ICR_LOW_WRITABLE
    apic.send_icr()


def write_tpr(vp: Vp, vtl: int, value: int) -> None:
    vp.vcpu.lapics[vtl].write_register(lapic.TPR, value & 0xFF)


def write_crash_control(vp: Vp, vtl: int, value: int) -> None:
    """CrashNotify; with CrashMessage, P3 and P4 are the address and length of a text."""
    if value & CRASH_NOTIFY:
        machine, crash = vp.partition.machine, vp.partition.crash
        told = " ".join(f"{p:#x}" for p in crash)
        at, size = crash[3:]
        if value & CRASH_MESSAGE and size <= CRASH_MESSAGE_BYTES and machine.memory.backed(at, size):
            text = machine.memory.read(at, size).rstrip(b"\0").decode("utf-8", "replace")
            told += "".join(c if c.isprintable() or c == "\n" else "." for c in f"\n{text}")
        machine.report(f"the guest reports that it crashed: {told}")


REGISTERS: dict[int, tuple[str, Read, Write]] = {
    GUEST_OS_ID: ("GUEST_OS_ID", lambda vp, vtl: vp.partition.vtls[vtl].guest_os_id, write_guest_os_id),
    HYPERCALL: ("HYPERCALL", lambda vp, vtl: vp.partition.vtls[vtl].hypercall, write_hypercall),
    VP_INDEX: ("VP_INDEX", lambda vp, vtl: vp.index, read_only),
    RESET: ("RESET", lambda vp, vtl: 0, write_reset),
    VP_RUNTIME: ("VP_RUNTIME", vp_runtime, read_only),
    TIME_REF_COUNT: ("TIME_REF_COUNT", time_ref_count, read_only),
    REFERENCE_TSC: ("REFERENCE_TSC", lambda vp, vtl: vp.partition.vtls[vtl].reference_tsc, write_reference_tsc),
    TSC_FREQUENCY: ("TSC_FREQUENCY", lambda vp, vtl: vp.partition.machine.clock.model.tsc_hz, read_only),
    APIC_FREQUENCY: ("APIC_FREQUENCY", lambda vp, vtl: SECOND, read_only),
    NPIEP_CONFIG: ("NPIEP_CONFIG", lambda vp, vtl: vp.vcpu.planes[vtl].get(layout.NPIEP), write_npiep),
    EOI: ("EOI", write_only, write_eoi),
    ICR: ("ICR", lambda vp, vtl: vp.vcpu.lapics[vtl].icr, write_icr),
    TPR: ("TPR", lambda vp, vtl: vp.vcpu.lapics[vtl].tpr, write_tpr),
    VP_ASSIST_PAGE: ("VP_ASSIST_PAGE", lambda vp, vtl: vp.vtls[vtl].assist_page, write_assist_page),
    GUEST_IDLE: ("GUEST_IDLE", lambda vp, vtl: 0, read_only),
    CRASH_CTL: ("CRASH_CTL", lambda vp, vtl: CRASH_NOTIFY | CRASH_MESSAGE, write_crash_control),
}


class HyperVMsrs:
    """The synthetic MSRs of one virtual processor, for emu.isa.msr."""

    def __init__(self, vp: Vp) -> None:
        self._vp = vp

    def owns(self, index: int) -> bool:
        """True for those that are implemented."""
        return (index in REGISTERS or index in synic.INDEXES or index in stimer.INDEXES
                or CRASH_P0 <= index < CRASH_P0 + CRASH_PARAMETERS)

    def msr_read(self, index: int) -> int:
        """RDMSR in the VTL that runs. GUEST_IDLE halts it until an interrupt comes, whatever RFLAGS.IF is (TLFS,
        "Virtual processor idle sleep state")."""
        if index == GUEST_IDLE and not self._vp.vcpu.lapic.pending():
            self._vp.vcpu.plane.set(layout.ACTIVITY, IDLE)
        return self.read(self._vp.active, index)

    def msr_write(self, index: int, value: int) -> None:
        """WRMSR in the VTL that runs."""
        self.write(self._vp.active, index, value)

    def read(self, vtl: int, index: int) -> int:
        """A VTL's instance. GeneralProtection: it cannot be read."""
        if index in REGISTERS:
            return REGISTERS[index][1](self._vp, vtl)
        if index in synic.INDEXES:
            return self._vp.vtls[vtl].synic.read(index)
        if index in stimer.INDEXES:
            return self._vp.vtls[vtl].stimers.read(index)
        return self._vp.partition.crash[index - CRASH_P0]

    def write(self, vtl: int, index: int, value: int) -> None:
        """A VTL's instance. GeneralProtection: it cannot be written, or not with this value."""
        if index in REGISTERS:
            REGISTERS[index][2](self._vp, vtl, value)
        elif index in synic.INDEXES:
            self._vp.vtls[vtl].synic.write(index, value)
        elif index in stimer.INDEXES:
            self._vp.vtls[vtl].stimers.write(index, value)
        else:
            self._vp.partition.crash[index - CRASH_P0] = value
