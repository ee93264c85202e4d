"""CPUID: what the guest is told, which is what is implemented (SDM Vol. 2A CPUID; APM Vol. 3 appendix E)."""

from __future__ import annotations

from collections.abc import Callable

from emu.isa.cpu import Cpu
from emu.isa.extensions import E1C, E1D, L1C, L1D, L7C, TABLE, Place
from emu.isa.models import Cache
from jit.xsave_layout import COMPONENTS, LEGACY_AND_HEADER, align

OSXSAVE, OSPKE = 1 << 27, 1 << 4                # of leaf 1 ECX and leaf 7 ECX ...
CR4_OSXSAVE, CR4_PKE = 1 << 18, 1 << 22         # ... which repeat these
MONITOR = 1 << 3                                # of leaf 1 ECX, as IA32_MISC_ENABLE and HWCR have it
APIC, HTT, CMP_LEGACY = 1 << 9, 1 << 28, 1 << 1
REPEATED_BY_AMD = 0x0183F3FF                    # of leaf 1 EDX, in 80000001h EDX (APM Vol. 3 E.4.2)
LAST_BASIC, LAST_EXTENDED, LAST_EXTENDED_AMD = 0xD, 0x80000008, 0x80000021
ASSOCIATIVITY = {8: 6, 16: 8, 32: 0xA}          # APM Vol. 3 table E-4
LINE, CLFLUSH_QUADWORDS = 64, 8
INVLPGB_MAX_PAGES = 7                           # besides the first, as 80000008 EDX reports it

Registers = tuple[int, int, int, int]
ZERO: Registers = (0, 0, 0, 0)


def _text(text: str, size: int) -> list[int]:
    padded = text.encode("ascii").ljust(size, b"\0")
    return [int.from_bytes(padded[i:i + 4], "little") for i in range(0, size, 4)]


class Cpuid:
    """The leaves of one vCPU. `overlay(leaf, subleaf)` may answer first (hypervisor leaves)."""

    def __init__(self, cpu: Cpu, apic_id: int, vcpus: int) -> None:
        self.cpu, self.apic_id, self.vcpus = cpu, apic_id, vcpus
        self.overlay: Callable[[int, int], Registers | None] = lambda leaf, subleaf: None
        # CR4, XCR0 and IA32_XSS of the plane that runs
        self.os_view: Callable[[], tuple[int, int, int]] = lambda: (0, 1, 0)
        self.apic_enabled: Callable[[], bool] = lambda: True
        self.monitor_enabled: Callable[[], bool] = lambda: True
        self._bits: dict[Place, int] = {}
        for extension in TABLE:
            if extension.name in cpu.offered:
                place = extension.place
                self._bits[place] = self._bits.get(place, 0) | 1 << extension.bit
        self.signature = cpu.model.signature
        self._leaves: dict[int, Callable[[int], Registers]] = {
            0: lambda _: (LAST_BASIC, *self._vendor()), 1: self._features, 4: self._caches_intel, 5: self._monitor,
            7: self._structured,
            0xB: self._topology, 0xD: self._xstate,
            0x80000000: lambda _: (LAST_EXTENDED_AMD if cpu.amd else LAST_EXTENDED, *self._vendor()),
            0x80000001: self._extended, 0x80000005: self._first_caches, 0x80000006: self._further_caches,
            0x80000007: lambda _: self._place(0x80000007, 0), 0x80000008: self._widths,
            0x8000001D: self._caches_amd, 0x8000001E: self._node,
            0x80000021: lambda _: self._place(0x80000021, 0) if cpu.amd else ZERO}
        for n in range(3):
            self._leaves[0x80000002 + n] = self._brand(n)

    def read(self, leaf: int, subleaf: int) -> Registers:
        """(EAX, EBX, ECX, EDX). Leaves beyond the largest read as zero."""
        answer = self.overlay(leaf, subleaf)
        return self.of_model(leaf, subleaf) if answer is None else answer

    def read_for(self, view: tuple[int, int, int], leaf: int, subleaf: int) -> Registers:
        """The same for other values of CR4, XCR0 and IA32_XSS than those of the plane that runs."""
        mine, self.os_view = self.os_view, lambda: view
        try:
            return self.read(leaf, subleaf)
        finally:
            self.os_view = mine

    def of_model(self, leaf: int, subleaf: int) -> Registers:
        """The same without the overlay."""
        found = self._leaves.get(leaf)
        return ZERO if found is None else found(subleaf)

    def _place(self, leaf: int, subleaf: int) -> Registers:
        """All extension bits of a leaf."""
        a, b, c, d = (self._bits.get((leaf, subleaf, register), 0) for register in range(4))
        return a, b, c, d

    def _vendor(self) -> tuple[int, int, int]:
        first, second, third = _text(self.cpu.model.vendor, 12)
        return first, third, second

    def _brand(self, part: int) -> Callable[[int], Registers]:
        a, b, c, d = _text(self.cpu.model.brand, 48)[4 * part:4 * part + 4]
        return lambda _: (a, b, c, d)

    # --- features ----------------------------------------------------------------------------------------------------

    def _features(self, _: int) -> Registers:
        ecx, edx = self._bits.get(L1C, 0), self._bits.get(L1D, 0)
        if self.os_view()[0] & CR4_OSXSAVE:
            ecx |= OSXSAVE
        if not self.apic_enabled():
            edx &= ~APIC
        if not self.monitor_enabled():
            ecx &= ~MONITOR
        if self.vcpus > 1:
            edx |= HTT
        return self.signature, self.apic_id << 24 | self.vcpus << 16 | CLFLUSH_QUADWORDS << 8, ecx, edx

    def _monitor(self, _: int) -> Registers:
        """MONITOR's lines; MWAIT's extensions are listed, and a masked interrupt can end it; one state, C1."""
        return (LINE, LINE, 0b11, 1 << 4) if self._bits.get(L1C, 0) & MONITOR else ZERO

    def _structured(self, subleaf: int) -> Registers:
        a, b, c, d = self._place(7, subleaf)
        if subleaf == 0:
            a = max((place[1] for place in self._bits if place[0] == 7), default=0)
            if self._bits.get(L7C, 0) & 1 << 3 and self.os_view()[0] & CR4_PKE:
                c |= OSPKE
        return a, b, c, d

    def _extended(self, _: int) -> Registers:
        ecx, edx = self._bits.get(E1C, 0), self._bits.get(E1D, 0)
        if self.cpu.amd:
            edx |= self._features(0)[3] & REPEATED_BY_AMD
            if self.vcpus > 1:
                ecx |= CMP_LEGACY
        return self.signature, 0, ecx, edx

    def _widths(self, _: int) -> Registers:
        ecx = self.vcpus - 1 if self.cpu.amd else 0
        edx = INVLPGB_MAX_PAGES if self.cpu.offers("invlpgb") else 0
        return self.cpu.model.physical | self.cpu.linear_bits << 8, self._place(0x80000008, 0)[1], ecx, edx

    # --- XSAVE -------------------------------------------------------------------------------------------------------

    def _xstate(self, subleaf: int) -> Registers:
        """Sizes and places of state components (SDM Vol. 1 13.2)."""
        valid = self.cpu.xcr0_valid
        if "xsave" not in self.cpu.offered:
            return ZERO
        xcr0 = self.os_view()[1]
        if subleaf == 0:
            return valid & 0xFFFFFFFF, _standard(xcr0), _standard(valid), valid >> 32
        if subleaf == 1:
            eax = self._place(0xD, 1)[0]
            xss = self.cpu.xss_valid if eax & 0b1000 else 0
            return eax, _compacted(xcr0 | self.os_view()[2]) if eax & 0b1010 else 0, xss, 0
        for part in COMPONENTS:
            if part.number == subleaf > 1:
                if part.supervisor and "xsaves" in self.cpu.offered and self.cpu.xss_valid >> subleaf & 1:
                    return part.size, 0, part.aligned << 1 | 1, 0
                if not part.supervisor and valid >> subleaf & 1:
                    return part.size, part.offset, part.aligned << 1, 0
        return ZERO

    # --- caches and topology -----------------------------------------------------------------------------------------

    def _cache(self, subleaf: int) -> Registers:
        """One cache, in the form that both vendors use; with one thread a core all but shared ones are a vCPU's own."""
        caches = self.cpu.model.caches
        if subleaf >= len(caches):
            return ZERO
        cache = caches[subleaf]
        sharing = self.vcpus - 1 if cache.shared else 0
        return (cache.kind | cache.level << 5 | 1 << 8 | sharing << 14, LINE - 1 | cache.ways - 1 << 22,
                cache.size * 1024 // (LINE * cache.ways) - 1, 0)

    def _caches_intel(self, subleaf: int) -> Registers:
        if self.cpu.amd:
            return ZERO
        a, b, c, d = self._cache(subleaf)
        return a | (min(self.vcpus, 64) - 1 << 26 if a else 0), b, c, d

    def _caches_amd(self, subleaf: int) -> Registers:
        return self._cache(subleaf) if "topoext" in self.cpu.offered and self.cpu.amd else ZERO

    def _find(self, level: int, kind: int) -> Cache | None:
        return next((c for c in self.cpu.model.caches if c.level == level and c.kind == kind), None)

    def _first_caches(self, _: int) -> Registers:
        data, code = self._find(1, 1), self._find(1, 2)
        if not self.cpu.amd or not data or not code:
            return ZERO
        ecx, edx = (cache.size << 24 | cache.ways << 16 | 1 << 8 | LINE for cache in (data, code))
        return 0, 0, ecx, edx

    def _further_caches(self, _: int) -> Registers:
        second, third = self._find(2, 3), self._find(3, 3)
        ecx = edx = 0
        if second:
            ecx = second.size << 16 | ASSOCIATIVITY[second.ways] << 12 | (1 << 8 if self.cpu.amd else 0) | LINE
        if third and self.cpu.amd:
            edx = third.size // 512 << 18 | ASSOCIATIVITY[third.ways] << 12 | 1 << 8 | LINE
        return 0, 0, ecx, edx

    def _node(self, _: int) -> Registers:
        if "topoext" not in self.cpu.offered or not self.cpu.amd:
            return ZERO
        return self.apic_id, self.apic_id & 0xFF, 0, 0

    def _topology(self, subleaf: int) -> Registers:
        """Extended topology: one thread a core, all cores in one package (SDM Vol. 2A, leaf 0BH)."""
        if subleaf == 0:
            return 0, 1, 1 << 8, self.apic_id
        if subleaf == 1:
            return (self.vcpus - 1).bit_length(), self.vcpus, 2 << 8 | 1, self.apic_id
        return 0, 0, subleaf, self.apic_id


def _standard(xcr0: int) -> int:
    """Bytes of a standard-form XSAVE area for these components."""
    return max([LEGACY_AND_HEADER, *(part.offset + part.size for part in COMPONENTS if xcr0 >> part.number & 1)])


def _compacted(xcr0: int) -> int:
    """Bytes of a compacted one (SDM Vol. 1 13.4.3)."""
    end = LEGACY_AND_HEADER
    for part in COMPONENTS:
        if part.number > 1 and xcr0 >> part.number & 1:
            end = (align(end) if part.aligned else end) + part.size
    return end
