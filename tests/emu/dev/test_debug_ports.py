"""Exit and debug console ports."""

from emu.dev.debugcon import DebugConsole
from emu.dev.debugexit import DebugExit


def test_exit_status_is_value_twice_plus_one() -> None:
    got: list[int] = []
    dev = DebugExit(got.append)
    dev.port_write(0xF4, 1, 0)
    dev.port_write(0xF4, 4, 0x31)
    assert got == [1, 0x63] and dev.requested_exit == 0x63
    dev.reset()
    assert dev.requested_exit is None


def test_debug_console_writes_and_detection() -> None:
    out = bytearray()
    dev = DebugConsole(out.append)
    for byte in b"ok":
        dev.port_write(0x402, 1, byte)
    assert out == b"ok" and dev.port_read(0x402, 1) == 0xE9
