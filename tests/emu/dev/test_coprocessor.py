"""FERR# and IRQ 13."""

from emu.dev.coprocessor import CoprocessorError


def test_an_error_holds_irq_13_until_port_f0_is_written() -> None:
    levels: list[bool] = []
    dev = CoprocessorError(levels.append)
    dev.signal()
    dev.port_write(0xF1, 1, 0)
    assert levels == [True]
    dev.port_write(0xF0, 1, 0)
    assert levels == [True, False]


def test_a_snapshot_keeps_the_latch() -> None:
    levels: list[bool] = []
    dev = CoprocessorError(levels.append)
    dev.signal()
    other = CoprocessorError(levels.append)
    other.load(dev.save())
    assert levels == [True, True]
