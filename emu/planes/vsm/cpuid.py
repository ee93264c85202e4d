"""The hypervisor's CPUID leaves, 0x40000000 to 0x4000000A (TLFS, "Feature and interface discovery").

They announce what is implemented and nothing else; all VTLs see the same.
"""

from __future__ import annotations

from emu.isa.cpuid import ZERO, Registers

FIRST, LAST = 0x40000000, 0x4000000A
VENDOR: Registers = (LAST, 0x7263694D, 0x666F736F, 0x76482074)      # "Microsoft Hv"
INTERFACE = 0x31237648                                              # "Hv#1"
BUILD, VERSION = 1, 10 << 16
NEVER_NOTIFY = 0xFFFFFFFF                                           # of long spin waits

# 0x40000003
(VP_RUNTIME, REFERENCE_COUNTER, SYNIC, APIC, HYPERCALL, VP_INDEX, RESET, REFERENCE_TSC, FREQUENCY) = (
    1 << bit for bit in (0, 1, 2, 4, 5, 6, 7, 9, 11))
EAX = VP_RUNTIME | REFERENCE_COUNTER | SYNIC | APIC | HYPERCALL | VP_INDEX | RESET | REFERENCE_TSC | FREQUENCY
ACCESS_VSM, ACCESS_VP_REGISTERS = 1 << 16, 1 << 17
FREQUENCY_MSRS, CRASH_MSRS = 1 << 8, 1 << 10
RELAXED_TIMING = 1 << 5                                             # 0x40000004


def leaf(number: int, vcpus: int, address_bits: int, vsm: bool = True) -> Registers | None:
    """A leaf as EAX, EBX, ECX, EDX, or None outside the hypervisor's range. `vsm`: whether VSM is announced."""
    if not FIRST <= number <= FIRST + 0xFF:
        return None
    if number == FIRST:
        return VENDOR
    if number == FIRST + 1:
        return INTERFACE, 0, 0, 0
    if number == FIRST + 2:
        return BUILD, VERSION, 0, 0
    if number == FIRST + 3:
        return EAX, (ACCESS_VSM if vsm else 0) | ACCESS_VP_REGISTERS, 0, FREQUENCY_MSRS | CRASH_MSRS
    if number == FIRST + 4:
        return RELAXED_TIMING, NEVER_NOTIFY, address_bits, 0
    if number == FIRST + 5:
        return vcpus, vcpus, 0, 0
    return ZERO
