"""8042 keyboard controller at ports 0x60/0x64 (IBM PC AT Technical Reference; IBM PS/2 "Keyboard/Auxiliary Device
Controller"), with the reset pulse and the A20 gate on its output port.

The auxiliary port exists and passes its self-test, but no device is plugged into it unless `aux` is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

DATA, COMMAND = 0x60, 0x64
STATUS_OBF, STATUS_SYSTEM, STATUS_COMMAND, STATUS_UNLOCKED, STATUS_AUX = 0x01, 0x04, 0x08, 0x10, 0x20
CB_IRQ1, CB_IRQ12, CB_SYSTEM, CB_KBD_OFF, CB_AUX_OFF, CB_TRANSLATE = 0x01, 0x02, 0x04, 0x10, 0x20, 0x40
OUT_RESET, OUT_A20, OUT_IRQ1, OUT_IRQ12 = 0x01, 0x02, 0x10, 0x20
INPUT_PORT = 0x80  # not inhibited by the key lock

# Scan-code set 2 to set 1, index 0 .. 0x84 (IBM PS/2 reference, "Keyboard Scan Code Translation"). Beyond: unchanged.
_TRANSLATE = bytes.fromhex(
    "ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59"
    "65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b"
    "67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d"
    "69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f"
    "6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61"
    "6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76"
    "55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f"
    "52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54"
    "80 81 82 41 54"
)
BREAK_PREFIX = 0xF0


class Ps2Device(Protocol):
    """A keyboard or mouse: takes a byte, returns what it sends back."""

    enabled: bool

    def write(self, byte: int) -> list[int]: ...

    def reset(self) -> None: ...

    def save(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


class I8042:
    """The controller. `irq1`/`irq12` are its interrupt lines, `a20` the gate's level, `reset_pulse` a CPU reset."""

    def __init__(
        self,
        keyboard: Ps2Device,
        irq1: Callable[[bool], None],
        irq12: Callable[[bool], None],
        a20: Callable[[bool], None],
        reset_pulse: Callable[[], None],
        report: Callable[[str], None],
        aux: Ps2Device | None = None,
    ) -> None:
        self._keyboard, self._aux = keyboard, aux
        self._irq1, self._irq12, self._a20, self._reset_pulse, self._report = irq1, irq12, a20, reset_pulse, report
        self._reported: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """After power-on; the PC's firmware normally runs the self-test and writes the command byte."""
        self._ram = bytearray(32)
        self._ram[0] = CB_IRQ1 | CB_SYSTEM | CB_TRANSLATE
        self._output_port = OUT_RESET | OUT_A20
        self._buffer: int | None = None
        self._from_aux = False
        self._queue: deque[tuple[int, bool, bool]] = deque()
        self._command = 0
        self._last_was_command = False
        self._break = False
        self._keyboard.reset()
        if self._aux:
            self._aux.reset()
        self._lines()

    # -- devices --

    def key(self, scancodes: bytes) -> None:
        """Bytes that the keyboard sends on its own: scan codes of the set in use (2 after reset)."""
        if self._keyboard.enabled:
            for byte in scancodes:
                self._from_keyboard(byte)

    def move(self, packet: bytes) -> None:
        """Bytes that the auxiliary device sends on its own."""
        for byte in packet:
            self._enqueue(byte, True)

    def _from_keyboard(self, byte: int) -> None:
        if self._ram[0] & CB_TRANSLATE:
            if byte == BREAK_PREFIX:
                self._break = True
                return
            byte = _TRANSLATE[byte] if byte < len(_TRANSLATE) else byte
            if self._break:
                byte |= 0x80
                self._break = False
        self._enqueue(byte, False)

    def _enqueue(self, byte: int, aux: bool) -> None:
        self._queue.append((byte, aux, False))
        self._fill()

    def _fill(self) -> None:
        """Move the next byte into the output buffer; a disabled port keeps its bytes (clock line held low)."""
        if self._buffer is None:
            for index, (byte, aux, own) in enumerate(self._queue):
                if own or not self._ram[0] & (CB_AUX_OFF if aux else CB_KBD_OFF):
                    del self._queue[index]
                    self._buffer, self._from_aux = byte, aux
                    break
        self._lines()

    def _reply(self, byte: int, aux: bool = False) -> None:
        """A byte of the controller's own: it is not held back by a disabled port."""
        if self._buffer is None:
            self._buffer, self._from_aux = byte, aux
            self._lines()
        else:
            # The controller does not overwrite a byte that nobody has read: the reply waits in front of the others.
            self._queue.appendleft((byte, aux, True))

    def _lines(self) -> None:
        full, command_byte = self._buffer is not None, self._ram[0]
        self._irq1(full and not self._from_aux and bool(command_byte & CB_IRQ1))
        self._irq12(full and self._from_aux and bool(command_byte & CB_IRQ12))

    # -- ports --

    def port_read(self, port: int, size: int) -> int:
        if port == DATA:
            value = self._buffer
            if value is None:
                return 0
            self._buffer = None
            self._lines()  # the line falls before the next byte raises it, so an edge-triggered input sees both
            self._fill()
            return value
        status = STATUS_UNLOCKED | self._ram[0] & STATUS_SYSTEM
        status |= STATUS_COMMAND if self._last_was_command else 0
        if self._buffer is not None:
            status |= STATUS_OBF | (STATUS_AUX if self._from_aux else 0)
        return status

    def port_write(self, port: int, size: int, value: int) -> None:
        self._last_was_command = port == COMMAND
        if port == COMMAND:
            self._controller_command(value)
            return
        command, self._command = self._command, 0
        if command == 0:
            self._ram[0] &= ~CB_KBD_OFF & 0xFF  # sending to the keyboard enables its interface
            for byte in self._keyboard.write(value):
                self._from_keyboard(byte)
        elif 0x60 <= command <= 0x7F:
            self._ram[command & 0x1F] = value
            self._fill()
        elif command == 0xD1:
            self._write_output_port(value)
        elif command in (0xD2, 0xD3):
            self._reply(value, command == 0xD3)
        elif self._aux is not None:  # 0xD4
            self._ram[0] &= ~CB_AUX_OFF & 0xFF
            for byte in self._aux.write(value):
                self._enqueue(byte, True)

    def _controller_command(self, command: int) -> None:
        if 0x20 <= command <= 0x3F:
            self._reply(self._ram[command & 0x1F])
        elif 0x60 <= command <= 0x7F or command in (0xD1, 0xD2, 0xD3, 0xD4):
            self._command = command
        elif command in (0xA7, 0xA8, 0xAD, 0xAE):
            bit = CB_AUX_OFF if command < 0xAA else CB_KBD_OFF
            self._ram[0] = self._ram[0] | bit if command in (0xA7, 0xAD) else self._ram[0] & ~bit & 0xFF
            self._fill()
        elif command == 0xAA:
            self._ram[0] |= CB_SYSTEM
            self._reply(0x55)
        elif command in (0xA9, 0xAB):
            self._reply(0x00)
        elif command == 0xC0:
            self._reply(INPUT_PORT)
        elif command == 0xD0:
            pending = 0 if self._buffer is None else OUT_IRQ12 if self._from_aux else OUT_IRQ1
            self._reply(self._output_port | pending)
        elif command in (0xDD, 0xDF):
            self._write_output_port(self._output_port & ~OUT_A20 | (OUT_A20 if command == 0xDF else 0))
        elif command == 0xE0:
            self._reply(0)
        elif command >= 0xF0:
            # Pulse output-port bits low for 6 us; bit 0 is the CPU's reset line, the others have no effect on a PC.
            if not command & 0x01:
                self._reset_pulse()
        elif command not in self._reported:
            self._reported.add(command)
            self._report(f"keyboard controller: command {command:#x} is not implemented; ignored")

    def _write_output_port(self, value: int) -> None:
        self._output_port = value & (OUT_RESET | OUT_A20) | value & 0xC0
        self._a20(bool(value & OUT_A20))
        if not value & OUT_RESET:
            self._reset_pulse()

    def set_a20(self, enabled: bool) -> None:
        """The gate was changed elsewhere (port 0x92): what reading the output port shows."""
        self._output_port = self._output_port & ~OUT_A20 | (OUT_A20 if enabled else 0)

    _PLAIN = ("_output_port", "_buffer", "_from_aux", "_command", "_last_was_command", "_break")

    def save(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self._PLAIN}
        state.update(ram=bytes(self._ram), queue=[list(item) for item in self._queue], keyboard=self._keyboard.save())
        state["aux"] = self._aux.save() if self._aux else None
        return state

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._ram = bytearray(state["ram"])
        self._queue = deque((byte, aux, own) for byte, aux, own in state["queue"])
        self._keyboard.load(state["keyboard"])
        if self._aux and state["aux"] is not None:
            self._aux.load(state["aux"])
        self._lines()
