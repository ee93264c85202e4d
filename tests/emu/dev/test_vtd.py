"""The IOMMU by the VT-d specification 4.1: translation, interrupt remapping, faults and queued invalidation."""

import pytest

from emu.dev.vtd import Iommu
from emu.irq.apicbus import ApicMessage
from tests.fakes.ram import Ram

ROOT, CONTEXT, TABLES, ENTRIES, QUEUE = 0x10000, 0x11000, 0x12000, 0x20000, 0x30000
SOURCE = 3 << 3
TE, SRTP, QIE, IRE, SIRTP, CFI = 1 << 31, 1 << 30, 1 << 26, 1 << 25, 1 << 24, 1 << 23
GCMD, GSTS, RTADDR, FSTS, FECTL, FEDATA, FEADDR, IQH, IQT, IQA, ICS, IECTL, IEDATA, IEADDR, IRTA, FRCD = (
    0x18, 0x1C, 0x20, 0x34, 0x38, 0x3C, 0x40, 0x80, 0x88, 0x90, 0x9C, 0xA0, 0xA4, 0xA8, 0xB8, 0x220)


class Rig(Ram):
    def __init__(self) -> None:
        super().__init__(0x40000)
        self.sent, self.messages = list[ApicMessage](), list[tuple[int, int]]()
        self.dev = Iommu(self.read, self.write, self.sent.append, lambda at, data: self.messages.append((at, data)))

    def put(self, at: int, *words: int) -> None:
        for n, word in enumerate(words):
            self.write(at + 8 * n, word.to_bytes(8, "little"))

    def status(self) -> int:
        return self.dev.mmio_read(GSTS, 4)

    def command(self, bit: int) -> None:
        """As software gives commands: one at a time, beside those that stay."""
        self.dev.mmio_write(GCMD, 4, self.status() & 0x96FFFFFF | bit)

    def translating(self, width: int = 1, kind: int = 0, flags: int = 1) -> None:
        """Address 0x5000 of SOURCE is 0x7000; 0x6000 is 0x8000, for reading only."""
        self.put(ROOT, CONTEXT | 1)
        self.put(CONTEXT + 16 * SOURCE, TABLES | kind << 2 | flags, width)
        for level in range((3, 4)[width - 1] - 1):
            self.put(TABLES + 0x1000 * level, TABLES + 0x1000 * (level + 1) | 3)
        leaf = TABLES + 0x1000 * (1 + width)
        self.put(leaf + 8 * 5, 0x7003, 0x8001)
        self.dev.mmio_write(RTADDR, 8, ROOT)
        self.command(SRTP)
        self.command(TE)

    def remapping(self) -> None:
        self.dev.mmio_write(IRTA, 8, ENTRIES | 3)       # 16 entries
        self.command(SIRTP)
        self.command(IRE)

    def fault(self) -> tuple[int, int, int]:
        """Reason, source and information of the fault that is recorded."""
        high = self.dev.mmio_read(FRCD + 8, 8)
        assert high >> 63 and self.dev.mmio_read(FSTS, 4) & 2
        return high >> 32 & 0xFF, high & 0xFFFF, self.dev.mmio_read(FRCD, 8)


@pytest.fixture
def r() -> Rig:
    return Rig()


def irte(vector: int, destination: int = 2, source: int = SOURCE, verify: int = 1, low: int = 1) -> tuple[int, int]:
    return low | vector << 16 | destination << 40, source | verify << 18


def remappable(index: int) -> int:
    """An address of the remappable format, without a subhandle."""
    return 0xFEE00010 | (index & 0x7FFF) << 5 | index >> 15 << 2


def test_registers(r: Rig) -> None:
    assert r.dev.mmio_read(0, 4) == 0x10
    capabilities, extended = r.dev.mmio_read(8, 8), r.dev.mmio_read(0x10, 8)
    assert capabilities >> 8 & 0x1F == 0b110 and (capabilities >> 24 & 0x3FF) * 16 == FRCD
    assert extended & 0b1010 == 0b1010 and not extended & 0x10
    r.dev.mmio_write(RTADDR, 4, 0x12345FFF)
    r.dev.mmio_write(RTADDR + 4, 4, 7)
    assert r.dev.mmio_read(RTADDR, 8) == 0x7_12345000 and r.dev.mmio_read(RTADDR + 4, 4) == 7
    for bit in (SRTP, SIRTP, QIE, TE, IRE, CFI):
        r.command(bit)
        assert r.status() & bit
    r.dev.mmio_write(GCMD, 4, r.status() & 0x96FFFFFF & ~TE)
    assert not r.status() & TE and r.status() & SRTP


@pytest.mark.parametrize("width", (1, 2))
def test_translation(r: Rig, width: int) -> None:
    read, write = r.dev.access(SOURCE)
    write(0x5000, b"untranslated")
    assert r.ram[0x5000:0x500C] == b"untranslated"
    r.translating(width)
    r.ram[0x7FFE:0x8002] = b"abcd"
    assert read(0x5FFE, 4) == b"abcd", "across pages"
    write(0x5004, b"xy")
    assert r.ram[0x7004:0x7006] == b"xy"
    with pytest.raises(ValueError, match="IOMMU refuses"):
        write(0x6000, b"x")
    assert r.fault() == (5, SOURCE, 0x6000)


def test_pages_of_2_mib_and_pass_through(r: Rig) -> None:
    r.translating()
    r.put(TABLES + 0x1000 + 8, 0x83)
    assert r.dev.access(SOURCE)[0](0x20_7000, 2) == bytes(r.ram[0x7000:0x7002])
    r.put(CONTEXT + 16 * SOURCE, TABLES | 2 << 2 | 1, 1)
    r.ram[0x9000] = 9
    assert r.dev.access(SOURCE)[0](0x9000, 1) == b"\x09"


@pytest.mark.parametrize(("source", "change", "address", "reason"), (
    (1 << 8, (), 0x5000, 1), (8, (), 0x5000, 2), (SOURCE, (TABLES | 1, 3), 0x5000, 3),
    (SOURCE, (TABLES | 1, 1), 1 << 39, 4), (SOURCE, (), 0x9000, 6), (SOURCE, (0x100_0000 | 1, 1), 0x5000, 7)))
def test_faults_are_recorded_once_and_tell_their_reason(r: Rig, source, change, address, reason) -> None:
    r.translating()
    if change:
        r.put(CONTEXT + 16 * SOURCE, *change)
    r.dev.mmio_write(FEADDR, 4, 0xFEE01000)
    r.dev.mmio_write(FEDATA, 4, 0x55)
    read = r.dev.access(source)[0]
    with pytest.raises(ValueError):
        read(address, 1)
    assert r.fault() == (reason, source, address & -0x1000) and r.dev.mmio_read(FRCD + 8, 8) >> 62 & 1
    assert r.messages == [] and r.dev.mmio_read(FECTL, 4) == 0xC0000000
    r.dev.mmio_write(FECTL, 4, 0)
    assert r.messages == [(0xFEE01000, 0x55)] and r.dev.mmio_read(FECTL, 4) == 0
    with pytest.raises(ValueError):
        read(address, 1)
    assert r.dev.mmio_read(FSTS, 4) & 1, "there was no room for the second"
    r.dev.mmio_write(FRCD + 12, 4, 1 << 31)
    r.dev.mmio_write(FSTS, 4, 1)
    assert r.dev.mmio_read(FSTS, 4) == 0


def test_a_context_may_ask_for_silence(r: Rig) -> None:
    r.translating(flags=3)
    with pytest.raises(ValueError):
        r.dev.access(SOURCE)[0](0x9000, 1)
    assert r.dev.mmio_read(FSTS, 4) == 0


def test_messages_are_remapped(r: Rig) -> None:
    r.dev.msi(SOURCE, 0xFEE00000, 0x41)
    assert r.messages == [(0xFEE00000, 0x41)]
    r.put(ENTRIES + 16 * 5, *irte(0x61, low=1 | 4 | 1 << 4))
    r.remapping()
    r.dev.msi(SOURCE, remappable(5), 0)
    r.dev.msi(SOURCE, remappable(3) | 8, 2)             # handle and subhandle
    assert r.sent == [ApicMessage(0x61, destination=2, logical=True, level_triggered=True)] * 2


@pytest.mark.parametrize(("index", "entry", "source", "reason"), (
    (16, irte(0x61), SOURCE, 0x21), (5, irte(0x61, low=0), SOURCE, 0x22), (5, irte(0x61), SOURCE + 1, 0x26),
    (5, irte(0x61, source=0x0102, verify=2), 0x0300, 0x26)))
def test_messages_that_are_refused(r: Rig, index, entry, source, reason) -> None:
    r.put(ENTRIES + 16 * 5, *entry)
    r.remapping()
    r.dev.msi(source, remappable(index), 0)
    assert r.sent == [] and r.fault() == (reason, source, index << 48)


def test_compatible_messages_pass_only_with_cfi(r: Rig) -> None:
    r.remapping()
    r.dev.msi(SOURCE, 0xFEE00000, 0x41)
    assert r.messages == [] and r.fault()[0] == 0x25
    assert r.dev.io_apic_entry(0x31) is None
    r.command(CFI)
    r.dev.msi(SOURCE, 0xFEE00000, 0x41)
    assert r.messages == [(0xFEE00000, 0x41)]
    assert r.dev.io_apic_entry(0x31 | 3 << 56) == ApicMessage(0x31, destination=3)


def test_entries_of_the_io_apic(r: Rig) -> None:
    entry = 1 << 48 | 5 << 49 | 0x61
    r.put(ENTRIES + 16 * 5, *irte(0x61, source=0x1234))
    r.remapping()
    assert r.dev.io_apic_entry(entry) == ApicMessage(0x61, destination=2)


def test_queued_invalidation_tells_when_it_is_over(r: Rig) -> None:
    r.dev.mmio_write(IQA, 8, QUEUE)
    r.dev.mmio_write(IEADDR, 4, 0xFEE00000)
    r.dev.mmio_write(IEDATA, 4, 0x44)
    r.dev.mmio_write(IECTL, 4, 0)
    r.put(QUEUE, 1, 0, 2, 0x5000, 5 | 1 << 4 | 1 << 5 | 0xABCD << 32, 0x9000)
    r.command(QIE)
    r.dev.mmio_write(IQT, 8, 0x30)
    assert r.dev.mmio_read(IQH, 8) == 0x30 and r.ram[0x9000:0x9004] == b"\xcd\xab\0\0"
    assert r.dev.mmio_read(ICS, 4) == 1 and r.messages == [(0xFEE00000, 0x44)]
    r.dev.mmio_write(ICS, 4, 1)
    assert r.dev.mmio_read(ICS, 4) == 0
    r.put(QUEUE + 0x30, 0xF, 0)
    r.dev.mmio_write(IQT, 8, 0x40)
    assert r.dev.mmio_read(IQH, 8) == 0x30 and r.dev.mmio_read(FSTS, 4) & 16
    other = Rig()
    other.dev.load(r.dev.save())
    assert other.dev.save() == r.dev.save()
