"""What happened on a path, by kind: the numbers that a cost model prices. All of them are deterministic."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

XSAVE_LEAF = 0xD
# What a plane has for itself unless its design shares it, by part: one offset a register.
PARTS: dict[str, tuple[int, ...]] = {
    "general": (*(layout.gpr(n) for n in range(16)), layout.RIP, layout.RFL),
    "segments": tuple(layout.seg(n) for n in range(8)),
    "tables": (layout.GDTR_BASE, layout.IDTR_BASE),
    "control": (layout.CR0, layout.CR2, layout.CR3, layout.CR4, layout.CR8, layout.XCR0),
    "debug": (*(layout.DR + 8 * n for n in range(4)), layout.DR6, layout.DR7),
    "msrs": (layout.EFER, layout.STAR, layout.LSTAR, layout.CSTAR, layout.SFMASK, layout.KERNEL_GS_BASE,
             layout.SYSENTER_CS, layout.SYSENTER_ESP, layout.SYSENTER_EIP, layout.PAT, layout.TSC_AUX,
             layout.TSC_OFFSET),
}


@dataclass
class Counts:
    """instructions: retired. reads, writes: of memory. tlb_fills, walk_steps: translations made, and entries that the
    walks read. switches: of planes. exits: from the guest to the hypervisor, for an instruction that it intercepts or
    an interrupt. decisions: which plane runs next, taken in the hypervisor. userspace_exits: to the VMM, which decides
    there. routed: interrupts that came into a plane's APIC; deliveries: handlers entered; apic_accesses: by RDMSR and
    WRMSR, which hardware may carry out without an exit. fpu_bytes: of the XSAVE
    image, for each switch between planes with FPUs of their own. state: private registers put aside and fetched, by
    part."""

    instructions: int = 0
    reads: int = 0
    writes: int = 0
    tlb_fills: int = 0
    walk_steps: int = 0
    switches: int = 0
    exits: int = 0
    decisions: int = 0
    userspace_exits: int = 0
    routed: int = 0
    deliveries: int = 0
    apic_accesses: int = 0
    fpu_switches: int = 0
    fpu_bytes: int = 0
    state: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))

    def add(self, other: Counts) -> None:
        """Count what another did, too."""
        for each in fields(self):
            if each.name != "state":
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        for part, registers in other.state.items():
            self.state[part] += registers

    def flat(self) -> dict[str, int]:
        """By name, parts of the state as state_PART."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "state"}
        return plain | {f"state_{part}": registers for part, registers in self.state.items()}


NAMES = tuple(Counts().flat())


def private_registers(vcpu: VCpu) -> dict[str, int]:
    """How many registers of each part a switch of this vCPU's planes puts aside: all but those that it carries over."""
    group = vcpu.group
    shared = set()
    for n in range(group.get(group_layout.SHARED_COUNT)):
        start = group.get(group_layout.SHARED + 16 * n)
        shared |= {start + 8 * word for word in range(group.get(group_layout.SHARED + 16 * n + 8))}
    return {part: sum(offset not in shared for offset in offsets) for part, offsets in PARTS.items()}


def switched(counts: Counts, vcpu: VCpu, source: int, target: int) -> None:
    """Count a plane switch."""
    counts.switches += 1
    for part, registers in private_registers(vcpu).items():
        counts.state[part] += registers
    if vcpu.planes[source].get(layout.FPU) != vcpu.planes[target].get(layout.FPU):
        counts.fpu_switches += 1
        counts.fpu_bytes += vcpu.cpuid.read(XSAVE_LEAF, 0)[1]
