"""The screenshots in docs/, made again: python -m tools.debug.pictures [DIRECTORY]"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

from textual import events
from textual.pilot import Pilot

from emu import Machine
from tools.debug.app import DebugApp
from tools.debug.wires import Wires

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware/build"


class Picture(NamedTuple):
    """A file, the guest in it, columns and rows, colours, and what is pressed; `:` starts a command line."""

    file: str
    guest: str
    size: tuple[int, int]
    theme: str
    keys: tuple[str, ...]


PICTURES = (
    Picture("debug-switch.svg", "vsm_call.elf", (100, 32), "dark", ("right_square_bracket", "s")),
    Picture("debug-denied.svg", "vsm_lockdown.elf", (110, 34), "light",
            (":catch violation", "c", ":plane VTL0", ":walk 0x101000")),
    Picture("debug-wide.svg", "vsm_call.elf", (200, 60), "dark",
            ("right_square_bracket", ":break vtl1_serve", "c", "c", "c", ":mem vtl1_command", "0")),
)


async def take(picture: Picture, directory: Path) -> Path:
    """Run the guest, press the keys, write the file."""
    wires = Wires()
    with Machine(memory="64M", planes="vsm", serial_out=wires.serial) as machine:
        machine.load(FIRMWARE / picture.guest)
        app = DebugApp(machine, wires, picture.theme)
        app.session.source.wait(60)
        async with app.run_test(size=picture.size) as pilot:
            await quiet(pilot)
            for key in picture.keys:
                if key.startswith(":"):
                    app.action_ask(key[1:])
                    key = "enter"
                app.post_message(events.Key(key, key if len(key) == 1 else None))
                await quiet(pilot)
            app.say("")
            await pilot.pause(0.3)
            return Path(app.picture(str(directory / picture.file)))


async def quiet(pilot: Pilot[int]) -> None:
    """Wait for the guest and the screen."""
    await pilot.pause(0.1)
    while isinstance(pilot.app, DebugApp) and pilot.app.busy:
        await asyncio.sleep(0.05)
    await pilot.pause(0.1)


def main() -> None:
    """All of them."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else FIRMWARE.parents[1] / "docs"
    for picture in PICTURES:
        print(asyncio.run(take(picture, directory)))


if __name__ == "__main__":
    main()
