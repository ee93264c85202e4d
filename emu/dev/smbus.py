"""PIIX4's SMBus host controller (Intel 82371AB datasheet, 7.4) with nothing on the bus: every transfer ends in DEV_ERR,
which is how memory-module probing learns that there are none."""

from __future__ import annotations

from typing import Any

BLOCK_SIZE = 16
HOST_STATUS, SLAVE_STATUS, HOST_CONTROL = 0, 1, 2
START, DEVICE_ERROR = 0x40, 0x04


class SmbusHost:
    """The register block; ports count from `base`."""

    def __init__(self) -> None:
        self.base = 0
        self.reset()

    def reset(self) -> None:
        self._registers = bytearray(BLOCK_SIZE)

    def port_read(self, port: int, size: int) -> int:
        return self._registers[port - self.base]

    def port_write(self, port: int, size: int, value: int) -> None:
        offset = port - self.base
        if offset in (HOST_STATUS, SLAVE_STATUS):
            self._registers[offset] &= ~value & 0xFF
            return
        if offset == HOST_CONTROL and value & START:
            self._registers[HOST_STATUS] |= DEVICE_ERROR
            value &= ~START
        self._registers[offset] = value

    def save(self) -> dict[str, Any]:
        return {"base": self.base, "registers": bytes(self._registers)}

    def load(self, state: dict[str, Any]) -> None:
        self.base, self._registers = state["base"], bytearray(state["registers"])
