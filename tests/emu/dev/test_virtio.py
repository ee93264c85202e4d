"""Virtio devices over PCI (virtio 1.2: 2.7 split queues, 4.1 transport, 5.2 block, 5.3 console)."""

import struct

import pytest

from emu.dev.pci_function import COMMAND, COMMAND_MASTER, COMMAND_MEMORY
from emu.dev.virtio.blk import VirtioBlk
from emu.dev.virtio.console import VirtioConsole
from emu.dev.virtio.disk import Disk
from emu.dev.virtio.queue import INDIRECT, MAX_SIZE, NEXT, WRITE

COMMON, NOTIFY, ISR, CONFIG = 0x0000, 0x1000, 0x2000, 0x3000
DESCRIPTORS, DRIVER, DEVICE, BUFFERS = 0x1000, 0x3000, 0x4000, 0x8000
VERSION_1 = 1 << 32


class Memory:
    def __init__(self):
        self.data = bytearray(0x40000)

    def read(self, gpa, size):
        if gpa + size > len(self.data):
            raise ValueError(f"{size} bytes at {gpa:#x} are not in RAM")
        return bytes(self.data[gpa:gpa + size])

    def write(self, gpa, data):
        self.read(gpa, len(data))
        self.data[gpa:gpa + len(data)] = data


class Driver:
    """A driver of one device: brings it up, and puts chains in queue 0 (or another)."""

    def __init__(self, make, queue=0, size=8, features=VERSION_1):
        self.memory, self.line, self.reports = Memory(), [False], []
        self.device = make(self.memory.read, self.memory.write, lambda level: self.line.__setitem__(0, level),
                           self.reports.append)
        self.queue, self.size, self.posted = queue, size, 0
        self.device.write(COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER)
        self.status(0)
        self.status(3)
        for half in (0, 1):
            self.common(0x08, 4, half)
            self.common(0x0C, 4, features >> 32 * half & 0xFFFFFFFF)
        self.status(0xB)
        self.common(0x16, 2, queue)
        self.common(0x18, 2, size)
        for at, gpa in ((0x20, DESCRIPTORS), (0x28, DRIVER), (0x30, DEVICE)):
            self.common(at, 4, gpa)
            self.common(at + 4, 4, 0)
        self.common(0x1C, 2, 1)
        self.status(0xF)

    def common(self, at, size, value):
        self.device.mmio_write(COMMON + at, size, value)

    def status(self, value=None):
        if value is not None:
            self.common(0x14, 1, value)
        return self.device.mmio_read(COMMON + 0x14, 1)

    def descriptor(self, index, gpa, size, flags=0, following=0):
        self.memory.write(DESCRIPTORS + 16 * index, struct.pack("<QIHH", gpa, size, flags, following))

    def chain(self, *pieces, notify=True):
        """(gpa, size, writable) each, from descriptor 0 on."""
        for i, (gpa, size, writable) in enumerate(pieces):
            last = i == len(pieces) - 1
            self.descriptor(i, gpa, size, (WRITE if writable else 0) | (0 if last else NEXT), i + 1)
        self.post(0, notify)

    def post(self, head, notify=True):
        self.memory.write(DRIVER + 4 + 2 * (self.posted % self.size), struct.pack("<H", head))
        self.posted += 1
        self.memory.write(DRIVER + 2, struct.pack("<H", self.posted & 0xFFFF))
        if notify:
            self.device.mmio_write(NOTIFY, 2, self.queue)

    def used(self):
        """(index of the device's ring, last entry's head, bytes written)."""
        index = struct.unpack("<H", self.memory.read(DEVICE + 2, 2))[0]
        return (index, *struct.unpack("<II", self.memory.read(DEVICE + 4 + 8 * ((index - 1) % self.size), 8)))

    def interrupt(self):
        """Whether INTA# is asserted, and the cause, which reading clears."""
        return self.line[0], self.device.mmio_read(ISR, 1)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(bytes([n]) * 512 for n in range(16)) + b"tail")
    return Disk(str(path))


@pytest.fixture
def blk(disk):
    return Driver(lambda *memory: VirtioBlk(disk, 0, *memory))


def request(driver, kind, sector, size, writable, data=b""):
    """Status and bytes written of a request with one data buffer."""
    driver.memory.write(BUFFERS, struct.pack("<IIQ", kind, 0, sector))
    driver.memory.write(BUFFERS + 0x1000, data)
    driver.memory.write(BUFFERS + 0x100, b"\xee")
    middle = ((BUFFERS + 0x1000, size, writable),) if size else ()
    driver.chain((BUFFERS, 16, False), *middle, (BUFFERS + 0x100, 1, True))
    return driver.memory.read(BUFFERS + 0x100, 1)[0], driver.used()[2]


def test_capacity_and_sector_size(blk):
    assert blk.device.mmio_read(CONFIG, 8) == 17
    assert blk.device.mmio_read(CONFIG + 20, 4) == 512


def test_a_read_fills_the_buffer_and_interrupts(blk):
    assert request(blk, 0, 3, 1024, True) == (0, 1025)
    assert blk.memory.read(BUFFERS + 0x1000, 1024) == b"\x03" * 512 + b"\x04" * 512
    assert blk.used()[:2] == (1, 0)
    assert blk.interrupt() == (True, 1) and blk.interrupt() == (False, 0)


def test_the_last_sector_ends_in_zeros(blk):
    assert request(blk, 0, 16, 512, True) == (0, 513)
    assert blk.memory.read(BUFFERS + 0x1000, 512) == b"tail" + bytes(508)


def test_what_is_written_is_read_back_and_the_file_stays(blk, disk, tmp_path):
    before = (tmp_path / "disk.img").read_bytes()
    assert request(blk, 1, 5, 512, False, b"\xab" * 512) == (0, 1)
    assert request(blk, 0, 4, 1024, True) == (0, 1025)
    assert blk.memory.read(BUFFERS + 0x1000, 1024) == b"\x04" * 512 + b"\xab" * 512
    assert (tmp_path / "disk.img").read_bytes() == before


@pytest.mark.parametrize("kind, sector, size, writable", [
    (0, 17, 512, True), (0, 16, 1024, True), (0, 1 << 60, 512, True), (0, 0, 100, True), (1, 17, 512, False),
    (1, 0, 511, False)])
def test_requests_beyond_the_end_or_of_part_of_a_sector_are_errors(blk, kind, sector, size, writable):
    assert request(blk, kind, sector, size, writable) == (1, 1)


def test_flush_identifier_and_unknown_requests(blk):
    assert request(blk, 4, 0, 0, False) == (0, 1)
    assert request(blk, 8, 0, 20, True) == (0, 21)
    assert blk.memory.read(BUFFERS + 0x1000, 20) == b"disk0".ljust(20, b"\0")
    assert request(blk, 11, 0, 512, True) == (2, 1)


def test_the_header_may_be_in_pieces_and_the_status_behind_the_data(blk):
    """Version 1 leaves the framing to the driver (2.7.4.1)."""
    blk.memory.write(BUFFERS, struct.pack("<IIQ", 0, 0, 7))
    blk.chain((BUFFERS, 5, False), (BUFFERS + 5, 11, False), (BUFFERS + 0x1000, 513, True))
    assert blk.memory.read(BUFFERS + 0x1000, 513) == b"\x07" * 512 + b"\0"


def test_an_indirect_table(blk):
    blk.memory.write(BUFFERS, struct.pack("<IIQ", 0, 0, 2))
    table = BUFFERS + 0x200
    for i, (gpa, size, flags) in enumerate(((BUFFERS, 16, NEXT), (BUFFERS + 0x1000, 512, WRITE | NEXT),
                                            (BUFFERS + 0x100, 1, WRITE))):
        blk.memory.write(table + 16 * i, struct.pack("<QIHH", gpa, size, flags, i + 1))
    blk.descriptor(3, table, 48, INDIRECT)
    blk.post(3)
    assert blk.used() == (1, 3, 513)


def test_the_driver_may_ask_for_no_interrupt(blk):
    blk.memory.write(DRIVER, b"\x01\x00")
    request(blk, 0, 0, 512, True)
    assert blk.interrupt() == (False, 0)


@pytest.mark.parametrize("break_it, words", [
    (lambda d: d.post(8), "descriptor 8 of a table of 8"),
    (lambda d: (d.descriptor(0, 0, 16, NEXT, 0), d.post(0)), f"more than {MAX_SIZE} descriptors"),
    (lambda d: (d.descriptor(0, 0, 8, INDIRECT), d.post(0)), "an indirect table of 8 bytes"),
    (lambda d: d.chain((BUFFERS, 1, True), (BUFFERS, 16, False)), "follows what it writes"),
    (lambda d: d.chain((BUFFERS, 8, False), (BUFFERS, 1, True)), "without a header"),
    (lambda d: d.chain((BUFFERS, 16, False)), "without room for its status"),
    (lambda d: d.chain((1 << 40, 16, False), (BUFFERS, 1, True)), "not in RAM"),
    (lambda d: (d.memory.write(DRIVER + 2, b"\x40\0"), d.device.mmio_write(NOTIFY, 2, 0)), "64 requests in a queue"),
])
def test_a_driver_that_breaks_a_rule_is_told_to_reset(blk, break_it, words):
    break_it(blk)
    assert blk.status() & 0x40 and words in blk.reports[0] and len(blk.reports) == 1
    assert blk.interrupt() == (True, 2)
    blk.status(0)
    assert blk.status() == 0


def test_without_bus_mastering_nothing_is_served(blk):
    blk.device.write(COMMAND, 2, COMMAND_MEMORY)
    request(blk, 0, 0, 512, True)
    assert blk.used()[0] == 0


@pytest.mark.parametrize("features, accepted", [(VERSION_1, True), (0, False), (VERSION_1 | 1 << 40, False)])
def test_features_that_were_not_offered_or_no_version_1_are_refused(disk, features, accepted):
    driver = Driver(lambda *memory: VirtioBlk(disk, 0, *memory), features=features)
    assert bool(driver.status() & 8) == accepted


def test_configuration_space_reaches_the_registers(blk):
    """VIRTIO_PCI_CAP_PCI_CFG, 4.1.4.9."""
    at = blk.device.read(0x34, 1)
    while blk.device.read(at + 3, 1) != 5:
        at = blk.device.read(at + 1, 1)
    blk.device.write(at + 8, 4, CONFIG + 20)
    blk.device.write(at + 12, 4, 4)
    assert blk.device.read(at + 16, 4) == 512


def test_a_saved_device_goes_on(blk, disk):
    request(blk, 1, 5, 512, False, b"\xab" * 512)
    state = blk.device.save()
    request(blk, 1, 5, 512, False, b"\xcd" * 512)
    blk.device.load(state)
    assert disk.read(5, 1) == b"\xab" * 512 and blk.interrupt() == (True, 1)
    assert request(blk, 0, 5, 512, True)[0] == 0


def test_a_console_takes_output_and_keeps_input_until_there_is_a_buffer():
    out = bytearray()
    sender = Driver(lambda *memory: VirtioConsole(out.append, *memory), queue=1)
    sender.memory.write(BUFFERS, b"hello")
    sender.chain((BUFFERS, 3, False), (BUFFERS + 3, 2, False))
    assert out == b"hello" and sender.used()[:2] == (1, 0)
    receiver = Driver(lambda *memory: VirtioConsole(out.append, *memory), queue=0)
    receiver.device.feed(b"abcdef")
    receiver.chain((BUFFERS, 4, True))
    assert receiver.memory.read(BUFFERS, 4) == b"abcd" and receiver.used() == (1, 0, 4)
    receiver.chain((BUFFERS, 4, True))
    assert receiver.memory.read(BUFFERS, 2) == b"ef" and receiver.used() == (2, 0, 2)


def test_disk_images_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        Disk(str(tmp_path / "none"))
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        Disk(str(tmp_path / "empty"))
