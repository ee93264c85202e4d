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
(VP_RUNTIME, REFERENCE_COUNTER, SYNIC, STIMERS, APIC, HYPERCALL, VP_INDEX, RESET, REFERENCE_TSC, IDLE,
 FREQUENCY) = (
    1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11))
EAX = (VP_RUNTIME | REFERENCE_COUNTER | SYNIC | STIMERS | APIC | HYPERCALL | VP_INDEX | RESET | REFERENCE_TSC | IDLE
       | FREQUENCY)
POST_MESSAGES, SIGNAL_EVENTS, ACCESS_VSM, ACCESS_VP_REGISTERS, EXTENDED_CALLS, START_VP = (
    1 << bit for bit in (4, 5, 16, 17, 20, 21))
EBX = POST_MESSAGES | SIGNAL_EVENTS | ACCESS_VP_REGISTERS | EXTENDED_CALLS | START_VP
XMM_INPUT, IDLE_STATE, FREQUENCY_MSRS, CRASH_MSRS, NPIEP, XMM_OUTPUT, SINT_POLLING, DIRECT_TIMERS = (
    1 << bit for bit in (4, 5, 8, 10, 12, 15, 17, 19))
EDX = XMM_INPUT | IDLE_STATE | FREQUENCY_MSRS | CRASH_MSRS | NPIEP | XMM_OUTPUT | SINT_POLLING | DIRECT_TIMERS
APIC_ASSIST = 1                                                     # 0x40000006
REMOTE_FLUSH, APIC_MSRS, RELAXED_TIMING, CLUSTER_IPI, EX_SETS = (                                  # 0x40000004
    1 << bit for bit in (2, 3, 5, 10, 11))
HINTS = REMOTE_FLUSH | APIC_MSRS | RELAXED_TIMING | CLUSTER_IPI | EX_SETS


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
        return EAX, EBX | (ACCESS_VSM if vsm else 0), 0, EDX
    if number == FIRST + 4:
        return HINTS, NEVER_NOTIFY, address_bits, 0
    if number == FIRST + 5:
        return vcpus, vcpus, 0, 0
    if number == FIRST + 6:
        return APIC_ASSIST, 0, 0, 0
    return ZERO
