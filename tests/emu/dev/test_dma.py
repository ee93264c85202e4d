"""8237A register behaviour."""

from emu.dev.dma import DmaController, DmaPages


def test_flip_flop_orders_the_bytes() -> None:
    dma = DmaController(0x00, 1)
    dma.port_write(0x0C, 1, 0)
    dma.port_write(0x04, 1, 0x34)
    dma.port_write(0x04, 1, 0x12)
    dma.port_write(0x0C, 1, 0)
    assert [dma.port_read(0x04, 1) for _ in range(2)] == [0x34, 0x12]


def test_masks_and_master_clear_on_the_16_bit_controller() -> None:
    dma = DmaController(0xC0, 2)
    assert dma.port_read(0xDE, 1) & 0x0F == 0x0F
    dma.port_write(0xD4, 1, 0x00)
    assert dma.port_read(0xDE, 1) & 0x0F == 0x0E
    dma.port_write(0xDC, 1, 0)
    assert dma.port_read(0xDE, 1) & 0x0F == 0x00
    dma.port_write(0xD2, 1, 0x06)
    assert dma.port_read(0xD0, 1) == 0x40
    dma.port_write(0xDA, 1, 0)
    assert dma.port_read(0xDE, 1) & 0x0F == 0x0F and dma.port_read(0xD0, 1) == 0


def test_pages_and_snapshots() -> None:
    pages = DmaPages()
    pages.port_write(0x87, 1, 0x12)
    other = DmaPages()
    other.load(pages.save())
    assert other.port_read(0x87, 1) == 0x12
    dma = DmaController(0, 1)
    dma.port_write(2, 1, 9)
    copy = DmaController(0, 1)
    copy.load(dma.save())
    assert copy.save() == dma.save()
