"""A guest may do anything to the board: no access raises, and values fit the width of the access."""

import random

import pytest

from emu.irq.lapic_msr import GeneralProtection
from emu.pc import PC, PcHooks
from emu.pc_config import MIB

MMIO = (0xFEC00000, 0xB8000, 0xFED00000, 0xBFFF8)


@pytest.mark.parametrize("seed", range(8))
def test_random_accesses(seed: int) -> None:
    rng = random.Random(seed)
    ram = bytearray(MIB)

    def read(gpa: int, size: int) -> bytes:
        if gpa + size > len(ram):
            raise ValueError("outside RAM")
        return bytes(ram[gpa : gpa + size])

    def write(gpa: int, data: bytes) -> None:
        if gpa + len(data) > len(ram):
            raise ValueError("outside RAM")
        ram[gpa : gpa + len(data)] = data

    pc = PC(MIB, PcHooks(report=lambda _: None, read_memory=read, write_memory=write), cpus=2)
    bus = pc.bus
    ports = sorted(bus._ports) + [0x600 + i for i in range(64)]
    icount = 0
    for step in range(6000):
        size = rng.choice((1, 1, 1, 2, 4))
        value = rng.choice((rng.getrandbits(8 * size), 1 << rng.randrange(8 * size), 0))
        choice = rng.random()
        if choice < 0.45:
            bus.port_write(rng.choice(ports), size, value)
        elif choice < 0.8:
            assert 0 <= bus.port_read(rng.choice(ports), size) < 1 << 8 * size
        elif choice < 0.88:
            bus.mmio_write(rng.choice(MMIO) + rng.randrange(0, 0x400, 4), size, value)
        elif choice < 0.95:
            assert 0 <= bus.mmio_read(rng.choice(MMIO) + rng.randrange(0x400), size) < 1 << 8 * size
        else:
            try:
                pc.lapic_msrs[0].msr_write(rng.choice((0x1B, 0x6E0, 0x800 + rng.randrange(64))), value)
            except GeneralProtection:
                pass
        if pc.lapics[0].pending():
            assert 0 <= pc.lapics[0].acknowledge() <= 0xFF
        icount += rng.randrange(20_000)
        pc.clock.advance(icount)
        pc.clock.run_due()
        if step % 1000 == 999:
            other = PC(MIB, PcHooks(report=lambda _: None), cpus=2)
            other.load(pc.save())
            assert other.save() == pc.save()
