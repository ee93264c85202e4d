"""What VTLs asked HvCallInstallIntercept to intercept of all lower VTLs, on every virtual processor (TLFS,
HV_INTERCEPT_TYPE and HV_INTERCEPT_PARAMETERS)."""

from __future__ import annotations

from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.trapped import MSRS, READS
from jit import guards

(IO_PORT, MSR, CPUID, EXCEPTION, MSR_INDEX, UNKNOWN_SYNIC_CONNECTION, RETARGET_UNKNOWN_DEVICE, IO_PORT_RANGE) = (
    0, 1, 2, 3, 0xC, 0xD, 0xF, 0x11)
READ, WRITE, EXECUTE = 1, 2, 4                          # HV_INTERCEPT_ACCESS_TYPE_MASK
ACCESSES = {IO_PORT: READ | WRITE, IO_PORT_RANGE: READ | WRITE, MSR: READ | WRITE, MSR_INDEX: READ | WRITE,
            CPUID: EXECUTE, EXCEPTION: EXECUTE, UNKNOWN_SYNIC_CONNECTION: EXECUTE, RETARGET_UNKNOWN_DEVICE: EXECUTE}
LAST_PORT, LAST_VECTOR, NMI, LAST_NUMBER = 0xFFFF, 31, 2, 0xFFFF_FFFF
LIMIT = 4096                    # of each type, since a guest may ask for any number
UNIMPLEMENTED_MSRS = 0          # the parameter of MSR that stands for all that nobody implements
# MSRs in the register file, with the accesses that compiled code can leave (jit/traps.py).
TRAPPABLE = {(index, READ if number in READS else WRITE): number for number, index in MSRS.items()}
NOT_TRAPPABLE = {value for name, value in vars(guards).items()
                 if name.startswith("IA32_")} | {0x10}          # in the register file; IA32_TIME_STAMP_COUNTER too


class Installed:
    """The intercepts of a partition, by the VTL that installed them."""

    def __init__(self) -> None:
        self._ports: dict[int, list[tuple[int, int, int]]] = {}         # owner -> (first, last, accesses)
        self._numbers: dict[tuple[int, int], dict[int, int]] = {}       # (type, owner) -> parameter -> accesses

    def install(self, owner: int, kind: int, accesses: int, parameter: int) -> bool:
        """Intercept some accesses, or none any more. Whether there is such an intercept. HvError: too many."""
        if kind not in ACCESSES or accesses & ~ACCESSES[kind]:
            return False
        if kind in (IO_PORT, IO_PORT_RANGE):
            first, last = parameter & 0xFFFF, parameter >> 16 if kind == IO_PORT_RANGE else parameter
            if not first <= last <= LAST_PORT:
                return False
            self._install_ports(owner, first, last, accesses)
            return True
        if kind == MSR_INDEX:
            kind = MSR
            if parameter == UNIMPLEMENTED_MSRS:
                return False
        if not _exists(kind, accesses, parameter):
            return False
        table = self._numbers.setdefault((kind, owner), {})
        if accesses and parameter not in table and len(table) >= LIMIT:
            raise HvError(codes.INSUFFICIENT_MEMORY)
        if accesses:
            table[parameter] = accesses
        else:
            table.pop(parameter, None)
        return True

    def _install_ports(self, owner: int, first: int, last: int, accesses: int) -> None:
        """The newest range that has a port, the last one, decides; ranges that it covers are forgotten, and one that it
        continues grows, since some guests go from port to port."""
        ranges = [old for old in self._ports.get(owner, ()) if not (first <= old[0] and old[1] <= last)]
        if ranges and ranges[-1][1:] == (first - 1, accesses):
            ranges[-1] = ranges[-1][0], last, accesses
        elif accesses or ranges:
            ranges.append((first, last, accesses))
        if len(ranges) > LIMIT:
            raise HvError(codes.INSUFFICIENT_MEMORY)
        self._ports[owner] = ranges

    def port(self, owner: int, port: int) -> int:
        """The accesses to a port that a VTL intercepts."""
        for first, last, accesses in reversed(self._ports.get(owner, ())):
            if first <= port <= last:
                return accesses
        return 0

    def has_ports(self) -> bool:
        """Whether any port was ever intercepted."""
        return bool(self._ports)

    def has_msrs(self) -> bool:
        """Whether any MSR was ever intercepted."""
        return any(kind == MSR for kind, _ in self._numbers)

    def number(self, owner: int, kind: int, parameter: int = 0) -> int:
        """The accesses that a VTL intercepts, for types whose parameter is a number or nothing."""
        return self._numbers.get((kind, owner), {}).get(parameter, 0)

    def traps(self, owner: int) -> int:
        """What compiled code has to leave for it, as a set for TRAPS (jit/guards.py)."""
        bits = 0
        for vector in self._numbers.get((EXCEPTION, owner), ()):
            bits |= 1 << guards.EXCEPTION + vector
        for index, accesses in self._numbers.get((MSR, owner), {}).items():
            for access in (READ, WRITE):
                if accesses & access and (index, access) in TRAPPABLE:
                    bits |= 1 << TRAPPABLE[index, access]
        return bits

    def clear(self) -> None:
        """As after a reset."""
        self._ports.clear()
        self._numbers.clear()


def _exists(kind: int, accesses: int, parameter: int) -> bool:
    if kind == EXCEPTION:
        return parameter <= LAST_VECTOR and parameter != NMI
    if kind == MSR and parameter in NOT_TRAPPABLE:
        return all((parameter, access) in TRAPPABLE for access in (READ, WRITE) if accesses & access)
    if kind in (UNKNOWN_SYNIC_CONNECTION, RETARGET_UNKNOWN_DEVICE):
        return parameter == 0
    return parameter <= LAST_NUMBER
