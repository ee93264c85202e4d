"""The south bridge: PIIX3's ISA bridge (Intel 82371SB) and PIIX4's power-management function (Intel 82371AB)."""

from __future__ import annotations

from collections.abc import Callable

from emu.dev.pci_function import INTERRUPT_PIN, PciFunction

PIRQ_ROUTE_A = 0x60
PM_BASE, DEVACTB_APMC, PM_REG_MISC, SMBUS_BASE, SMBUS_CONFIG = 0x40, 0x5B, 0x80, 0x90, 0xD2
APMC_ENABLED = 0x02


class IsaBridge(PciFunction):
    """PCI 00:01.0. `routes_changed` is called when an interrupt routing register may have changed."""

    routes_changed: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        super().__init__(0x8086, 0x7000, 0x060100, 0, multifunction=True)
        self.set_register(0x04, 2, 0x0007, 0x0308)
        self.set_register(0x06, 2, 0x0200)
        self.set_register(0x4C, 1, 0x4D, 0xFF)
        self.set_register(0x4E, 2, 0x0003, 0xFFFF)
        self.set_register(PIRQ_ROUTE_A, 4, 0x80808080, 0x8F8F8F8F)
        self.set_register(0x69, 1, 0x02, 0xFF)
        self.set_register(0x70, 2, 0x8080, 0xFFFF)
        self.set_register(0x76, 2, 0x0C0C, 0xFFFF)
        self.set_register(0x82, 1, 0x00, 0xFF)
        self.set_register(0xA0, 4, 0x00000008, 0xFFFFFFFF)

    def pirq_route(self, pin: int) -> int | None:
        """The IRQ that PIRQ `pin` (0 .. 3 for A .. D) is routed to, or None if it is not."""
        value = self.config[PIRQ_ROUTE_A + pin]
        return None if value & 0x80 else value & 0x0F

    def changed(self, offset: int, size: int) -> None:
        if offset < PIRQ_ROUTE_A + 4 and offset + size > PIRQ_ROUTE_A:
            self.routes_changed()


class PowerManagement(PciFunction):
    """PCI 00:01.3. `pm_moved` and `smbus_moved` get the I/O base of their block, or None while it is not decoded."""

    def __init__(self, pm_moved: Callable[[int | None], None], smbus_moved: Callable[[int | None], None]) -> None:
        super().__init__(0x8086, 0x7113, 0x068000, 3)
        self._pm_moved, self._smbus_moved = pm_moved, smbus_moved
        self.set_register(0x04, 2, 0x0000, 0x0001)
        self.set_register(0x06, 2, 0x0280)
        self.set_register(INTERRUPT_PIN, 1, 1)
        self.set_register(PM_BASE, 4, 0x00000001, 0x0000FFC0)
        self.set_register(0x44, 4, 0, 0xFFFFFFFF)
        self.set_register(0x48, 4, 0, 0xFFFFFFFF)
        self.set_register(0x4C, 4, 0, 0xFFFFFFFF)
        self.set_register(0x50, 4, 0, 0xFFFFFFFF)
        self.set_register(0x54, 4, 0, 0xFFFFFFFF)
        self.set_register(0x58, 4, 0, 0xFFFFFFFF)
        self.set_register(0x5C, 4, 0, 0xFFFFFFFF)
        self.set_register(0x60, 4, 0x90000000, 0xFFFFFFFF)
        self.set_register(PM_REG_MISC, 1, 0, 0x01)
        self.set_register(SMBUS_BASE, 4, 0x00000001, 0x0000FFF0)
        self.set_register(SMBUS_CONFIG, 4, 0, 0xFFFFFF0F)

    @property
    def smi_enabled(self) -> bool:
        """DEVACTB.APMC_EN: writes to port 0xB2 raise an SMI."""
        return bool(self.config[DEVACTB_APMC] & APMC_ENABLED)

    def changed(self, offset: int, size: int) -> None:
        end = offset + size
        if offset <= PM_REG_MISC and end > PM_BASE:
            enabled = self.config[PM_REG_MISC] & 1
            self._pm_moved(self.register(PM_BASE, 4) & 0xFFC0 if enabled else None)
        if offset <= SMBUS_CONFIG and end > SMBUS_BASE:
            enabled = self.config[SMBUS_CONFIG] & 1
            self._smbus_moved(self.register(SMBUS_BASE, 4) & 0xFFF0 if enabled else None)
