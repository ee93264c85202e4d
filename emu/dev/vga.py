"""VGA as far as text mode needs it: memory at 0xA0000-0xBFFFF as plain storage and the register file at 0x3B0-0x3DF
(IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem").

The frame buffer is a flat array: planes, write modes and latches of the graphics modes are not modelled. The machine
may map `memory` as RAM instead of taking an exit for each store.
"""

from __future__ import annotations

from typing import Any

from emu.clock import Clock

FRAME_BUFFER, FRAME_BUFFER_SIZE = 0xA0000, 0x20000
FIRST_PORT, PORTS = 0x3B0, 0x30
MONO_TEXT, COLOUR_TEXT = 0x10000, 0x18000
COLUMNS, ROWS = 80, 25

# 80x25 text at 70 Hz: 449 scan lines of 900 dots at 28.322 MHz, 720 of them shown.
LINE_NS, DISPLAY_LINE_NS = 31_778, 25_422
FRAME_LINES, DISPLAY_LINES, SYNC_FIRST, SYNC_LAST = 449, 400, 412, 413

CRTC_START_HIGH, CRTC_START_LOW, CRTC_CURSOR_HIGH, CRTC_CURSOR_LOW, CRTC_SYNC_END = 0x0C, 0x0D, 0x0E, 0x0F, 0x11
COLOUR_SELECT, RETRACE_ENABLE_BITS = 0x01, 0x80
# Index port of the sequencer, the graphics controller and the CRTC: how many registers; the data port is the next one.
_BANKS = {0x3C4: 5, 0x3CE: 9, 0x3D4: 25}


class Vga:
    """Registers and frame buffer. `memory` is the 128 KiB frame buffer; a caller may supply its own storage."""

    def __init__(self, clock: Clock, memory: bytearray | memoryview | None = None) -> None:
        if memory is not None and len(memory) != FRAME_BUFFER_SIZE:
            raise ValueError(f"VGA memory: {len(memory):#x} bytes, must be {FRAME_BUFFER_SIZE:#x}")
        self._clock = clock
        self.memory = memory if memory is not None else bytearray(FRAME_BUFFER_SIZE)
        self.reset()

    def reset(self) -> None:
        """Colour text mode 3, as a video BIOS leaves it. The frame buffer is not touched."""
        self._misc = 0x67
        self._index = {0x3C4: 0, 0x3CE: 0, 0x3D4: 0}
        self._banks = {port: bytearray(count) for port, count in _BANKS.items()}
        self._banks[0x3C4][:] = bytes([3, 0, 3, 0, 2])
        self._banks[0x3CE][5:9] = bytes([0x10, 0x0E, 0x0F, 0xFF])
        self._banks[0x3D4][:] = bytes.fromhex("5f4f50825581bf1f 004f0d0e00000000 9c8e8f281f96b9a3 ff")
        self._attribute = bytearray(range(21))
        self._attribute[16:21] = bytes([0x0C, 0, 0x0F, 8, 0])
        self._attribute_index = 0x20
        self._attribute_data_next = False
        self._feature = 0
        self._pel_mask = 0xFF
        self._palette = bytearray(768)
        self._palette_write = self._palette_read = 0
        self._palette_reading = False

    # -- memory --

    def mmio_read(self, offset: int, size: int) -> int:
        return int.from_bytes(self.memory[offset : offset + size], "little")

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        self.memory[offset : offset + size] = value.to_bytes(size, "little")

    def text_screen(self) -> list[str]:
        """The 25 lines of 80 characters that are shown, code page 437; unprintable cells are blanks."""
        crtc = self._banks[0x3D4]
        base = COLOUR_TEXT if self._misc & COLOUR_SELECT else MONO_TEXT
        start = (crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW]) * 2
        lines = []
        for row in range(ROWS):
            cells = bytes(
                self.memory[base + (start + 2 * (row * COLUMNS + column)) % 0x8000] for column in range(COLUMNS)
            )
            lines.append("".join(c if c.isprintable() else " " for c in cells.decode("cp437")))
        return lines

    def cursor(self) -> tuple[int, int]:
        """(row, column) of the hardware cursor; it may lie off the screen."""
        crtc = self._banks[0x3D4]
        start = crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW]
        return divmod((crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW]) - start, COLUMNS)

    # -- registers --

    def _decode(self, port: int) -> int | None:
        """Colour and monochrome share the CRTC: only the set that MISC selects answers; it is returned as 0x3Dx."""
        if 0x3C0 <= port <= 0x3CF:
            return port
        colour = bool(self._misc & COLOUR_SELECT)
        if colour != (port >= 0x3D0):
            return None
        return port if colour else port + 0x20

    def _input_status(self) -> int:
        """Bit 3: vertical retrace; bit 0: not displaying (horizontal or vertical blanking)."""
        line, position = divmod(self._clock.now % (LINE_NS * FRAME_LINES), LINE_NS)
        retrace = SYNC_FIRST <= line <= SYNC_LAST
        blank = line >= DISPLAY_LINES or position >= DISPLAY_LINE_NS
        return retrace << 3 | blank

    def port_read(self, port: int, size: int) -> int:
        register = self._decode(port)
        if register is None:
            return 0xFF
        if register == 0x3DA:
            self._attribute_data_next = False
            return self._input_status()
        if register in self._index:
            return self._index[register]
        if register - 1 in self._index:
            bank, index = self._banks[register - 1], self._index[register - 1]
            return bank[index] if index < len(bank) else 0
        if register == 0x3C0:
            return self._attribute_index
        if register == 0x3C1:
            index = self._attribute_index & 0x1F
            return self._attribute[index] if index < len(self._attribute) else 0
        if register == 0x3C2:
            return 0x10  # switch sense: a colour monitor is attached
        if register == 0x3C9:
            value = self._palette[self._palette_read]
            self._palette_read = (self._palette_read + 1) % 768
            return value
        simple = {
            0x3C6: self._pel_mask,
            0x3C7: 0x03 if self._palette_reading else 0x00,
            0x3C8: self._palette_write // 3,
            0x3CA: self._feature,
            0x3CC: self._misc,
        }
        return simple.get(register, 0xFF)

    def port_write(self, port: int, size: int, value: int) -> None:
        if port == 0x3C2:
            self._misc = value
            return
        register = self._decode(port)
        if register is None:
            return
        if register in self._index:
            self._index[register] = value
        elif register - 1 in self._index:
            self._write_bank(register - 1, value)
        elif register == 0x3C0:
            self._write_attribute(value)
        elif register == 0x3C6:
            self._pel_mask = value
        elif register in (0x3C7, 0x3C8):
            self._palette_reading = register == 0x3C7
            self._palette_read = self._palette_write = value * 3
        elif register == 0x3C9:
            self._palette[self._palette_write] = value & 0x3F
            self._palette_write = (self._palette_write + 1) % 768
        elif register == 0x3DA:
            self._feature = value

    def _write_bank(self, port: int, value: int) -> None:
        bank, index = self._banks[port], self._index[port]
        if index >= len(bank):
            return
        if port == 0x3D4 and index <= 7 and bank[CRTC_SYNC_END] & RETRACE_ENABLE_BITS:
            # CRTC registers 0-7 are protected, but for bit 4 of the overflow register.
            if index == 7:
                bank[7] = bank[7] & ~0x10 & 0xFF | value & 0x10
            return
        bank[index] = value

    def _write_attribute(self, value: int) -> None:
        if not self._attribute_data_next:
            self._attribute_index = value & 0x3F
        elif (index := self._attribute_index & 0x1F) < len(self._attribute):
            self._attribute[index] = value
        self._attribute_data_next = not self._attribute_data_next

    # -- snapshots --

    _PLAIN = (
        "_misc", "_attribute_index", "_attribute_data_next", "_feature", "_pel_mask",
        "_palette_write", "_palette_read", "_palette_reading",
    )  # fmt: skip

    def save(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self._PLAIN}
        state["index"] = sorted(self._index.items())
        state["banks"] = [[port, bytes(bank)] for port, bank in sorted(self._banks.items())]
        state.update(attribute=bytes(self._attribute), palette=bytes(self._palette), memory=bytes(self.memory))
        return state

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._index = {port: value for port, value in state["index"]}
        self._banks = {port: bytearray(bank) for port, bank in state["banks"]}
        self._attribute, self._palette = bytearray(state["attribute"]), bytearray(state["palette"])
        self.memory[:] = state["memory"]
