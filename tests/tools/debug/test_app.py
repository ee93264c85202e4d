"""The screen, through Textual's pilot: keys, panels, sizes, colours, a guest that runs and is stopped."""
import asyncio
import time

import pytest
from textual import events

from emu import Machine
from tests.emu.debug.guests import AT, VSM, machine, vsm
from tests.tools.debug.conftest import ENTRY
from tools.debug.app import LOWER, DebugApp
from tools.debug.bars import CommandLine, StatusBar
from tools.debug.help import HelpScreen
from tools.debug.keys import KEYS
from tools.debug.stages import STAGES
from tools.debug.wires import Wires

NARROW, WIDE = (80, 24), (200, 60)
LONG = 40                       # seconds after which a test gives up waiting


async def settled(pilot):
    """Wait until the guest stands and the screen is drawn."""
    end = time.monotonic() + LONG
    await pilot.pause(0)
    while pilot.app.busy:
        assert time.monotonic() < end
        await asyncio.sleep(0.002)
    await pilot.pause(0)


async def type_key(pilot, key):
    """As pilot.press, which waits until the process is idle: it is not while a guest runs."""
    pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await pilot.pause(0)


async def press(pilot, *keys):
    for key in keys:
        await type_key(pilot, key)
        await settled(pilot)


async def command(pilot, line):
    pilot.app.action_ask(line)
    await press(pilot, "enter")


def screen(app):
    """What is on it, as text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)


async def shows(pilot, *texts):
    """Wait until all texts are on the screen."""
    end = time.monotonic() + LONG
    while not all(text in screen(pilot.app) for text in texts):
        assert time.monotonic() < end, screen(pilot.app)
        await pilot.pause(0.01)


def run(app, size, script):
    """Run a script of the pilot's."""
    async def go():
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await script(app, pilot)
    asyncio.run(go())


@pytest.fixture
def app(guest):
    """The debugger at the first VTL entry."""
    for point in guest.breakpoints:
        point.remove()
    guest.goto(ENTRY)
    return DebugApp(guest, Wires())


@pytest.mark.parametrize("size", [NARROW, (100, 30), (132, 43), WIDE])
def test_everything_that_matters_is_on_the_screen(app, size):
    async def script(app, pilot):
        text = screen(app)
        for what in ("vtl1_start", "VTL0", "VTL1", f"{ENTRY:,}", "Registers", "Timeline", "help"):
            assert what in text, what
        shown = [name for name, _ in LOWER if app._panels[name].display]
        assert shown == (["memory"] if size != WIDE else [name for name, _ in LOWER if name != "log"])
        assert all(app._panels[name].size.height > 3 for name in ("code", "registers", *shown))
        assert max(map(len, text.splitlines())) <= size[0]
    run(app, size, script)


def test_stepping_through_a_switch_and_back(app):
    async def script(app, pilot):
        await press(pilot, "S")
        assert app.session.machine.icount == ENTRY - 1 and app.session.plane.name == "VTL0"
        await press(pilot, "f11")
        for stage, word in enumerate(STAGES, 1):
            assert app.session.stage == stage and app.session.machine.icount == ENTRY
            await shows(pilot, f"switch {stage}/5", f"► {stage} {word}")
            await press(pilot, "s" if stage % 2 else "n")
        assert app.session.machine.icount == ENTRY + 1
        await press(pilot, "b", "b")
        assert app.session.stage == 4
        await press(pilot, "left_square_bracket")
        assert app.session.machine.icount == app.session.machine.debugger.history.start
        await press(pilot, "right_square_bracket", "right_square_bracket")
        assert app.session.plane.name == "VTL0" and app.session.machine.icount > ENTRY
    run(app, NARROW, script)


LEFT_OUT = ("quit", "move('continue')", "move('finish')", "move('reverse-continue')", "run_to_cursor")


def test_every_key_is_pressed(app):
    async def script(app, pilot):
        for key in KEYS:
            if key.action not in LEFT_OUT:
                app._panels["code"].focus()
                await press(pilot, key.keys.split(",")[-1])
                if isinstance(app.screen, HelpScreen) or "ask" in key.action:
                    await press(pilot, "escape")
                if app.screen.maximized is not None:
                    assert app.screen.maximized is app._panels["code"]
                    await press(pilot, "z")
        assert app.is_running
    run(app, NARROW, script)


def test_keys_that_come_faster_than_steps_are_kept(app):
    async def script(app, pilot):
        for _ in range(6):
            app.action_move("step")
        await settled(pilot)
        assert app.session.machine.icount == ENTRY + 6
    run(app, NARROW, script)


def test_every_panel_takes_every_key_of_its_own(app):
    async def script(app, pilot):
        for name, panel in app._panels.items():
            app.action_panel(name)
            await pilot.pause()
            assert panel.has_focus and panel.display
            for key in ("pagedown", "end", "up", "right", "plus", "space"):
                await press(pilot, key)
    run(app, NARROW, script)


def test_a_breakpoint_at_the_cursor(app):
    async def script(app, pilot):
        await press(pilot, "down", "f9")
        point, = app.session.breakpoints
        assert point.address == app._panels["code"].focus_address != app.session.plane.code_address
        await shows(pilot, "●")
        await press(pilot, "c")
        assert app.session.machine.current.rip == point.address and point.hits == 1
        await press(pilot, "7", "space")
        assert not point.enabled
        await press(pilot, "delete")
        assert not app.session.breakpoints
        await press(pilot, "0", "up", "up", "u")
    run(app, NARROW, script)


def test_the_command_line(app):
    async def script(app, pilot):
        line = app.query_one(CommandLine)
        await press(pilot, "colon", *"break vtl1_fi", "tab")
        assert line.value == "break vtl1_first "
        await press(pilot, "enter")
        assert app.session.breakpoints[0].address == app.session.machine.address_of("vtl1_first") and not line.display
        await press(pilot, "slash", *"nonsense", "enter")
        await shows(pilot, "no such command")
        await press(pilot, "colon", "up")
        assert line.value == "nonsense"
        await press(pilot, "up", "down", "escape")
        assert not line.display and app._panels["code"].has_focus
        await press(pilot, "colon", *"re", "tab")
        assert line.value == "restore"
        await shows(pilot, "reverse-next")
        await press(pilot, "escape")
        await command(pilot, "goto 99999999999999999999999")
        await command(pilot, "goto -5_000_000")
        await shows(pilot, "before the start")
        assert app.session.machine.icount > 0
    run(app, NARROW, script)


def test_light_and_dark(app):
    async def script(app, pilot):
        dark = app.export_screenshot()
        await press(pilot, "d")
        light = app.export_screenshot()
        assert app.theme == "textual-light" and app.palette.good in light and app.palette.good not in dark
        await command(pilot, "theme dark")
        assert app.theme == "textual-dark"
    run(app, NARROW, script)


def test_the_timeline_is_scrubbed(app):
    async def script(app, pilot):
        app.action_panel("timeline")
        await press(pilot, "left", "shift+left", "right", "enter")
        assert app.session.machine.icount < ENTRY - 1000
        await shows(pilot, "▲", "VTL1")
        here = app.session.machine.icount
        await press(pilot, "plus", "plus", "right", "enter")
        assert here < app.session.machine.icount < here + 10_000
        await pilot.click("#timeline", offset=(40, 1))
        await settled(pilot)
    run(app, NARROW, script)


def test_looking_at_another_plane(app):
    async def script(app, pilot):
        await press(pilot, "p")
        assert app.session.plane.name == "VTL0"
        await shows(pilot, "looking at VTL0")
        await press(pilot, "full_stop", "3")
        assert app.session.plane.name == "VTL1"
        await shows(pilot, "waits to go on")
    run(app, NARROW, script)


def test_a_denied_access_is_explained_and_one_goes_to_what_set_it():
    with Machine(memory="8M", planes="vsm") as m:
        m.load(VSM.with_name("vsm_lockdown.elf"))

        async def script(app, pilot):
            await command(pilot, "catch violation")
            await press(pilot, "c")
            await shows(pilot, "VTL0: write of 0x101000 denied by VTL1's mask, set at instruction")
            await press(pilot, "2")
            await shows(pilot, "guest-physical 0x101000", "VTL1's mask: r", "no write: VTL1's mask",
                        "set by VTL1, vCPU 0, instruction")
            await command(pilot, "plane VTL0")
            await command(pilot, "walk 0x101000")       # this guest maps one to one
            await shows(pilot, "PML4E", "PDE", "2 MiB page", "no write: VTL1's mask")
            await press(pilot, "5")
            await shows(pilot, "VTL0  r", "▒")
            origin = app._panels["walk"].origin
            await press(pilot, "2", "enter")
            assert (app.session.machine.icount, app.session.plane.name) == (origin.icount, "VTL1")
        run(DebugApp(m, Wires()), (120, 50), script)


def test_a_guest_that_runs_away_is_stopped_and_the_screen_stays_alive(tmp_path):
    with machine(b"\xeb\xfe", tmp_path / "code") as m:
        async def script(app, pilot):
            for key in ("ctrl+c", "f6"):
                await type_key(pilot, "c")
                await asyncio.sleep(0.6)
                await shows(pilot, "Ctrl-C stops")
                assert app.busy
                await type_key(pilot, "s")              # is refused, in words
                await shows(pilot, "the guest runs")
                await press(pilot, key)
                await shows(pilot, "stopped from the keyboard")
                assert app.session.machine.current.rip == AT
            await press(pilot, "S")
            assert not app.busy
        run(DebugApp(m, Wires()), NARROW, script)


def test_quitting_stops_the_guest(tmp_path):
    with machine(b"\xeb\xfe", tmp_path / "code") as m:
        async def script(app, pilot):
            await type_key(pilot, "c")
            await asyncio.sleep(0.2)
            await type_key(pilot, "q")
            await settled(pilot)
            await asyncio.sleep(0.1)
            assert not app.busy
        app = DebugApp(m, Wires())
        run(app, NARROW, script)
        assert app.return_code == 0


# start: mov ecx, 1000000; loop $; mov dx, 0x3fd; in al, dx; test al, 1; jz start
# mov dl, 0xf8; in al, dx; inc eax; out dx, al; jmp start
ECHO = (b"\xb9\x40\x42\x0f\x00\xe2\xfe\x66\xba\xfd\x03\xec\xa8\x01\x74\xf0"
        b"\xb2\xf8\xec\xff\xc0\xee\xeb\xe8")


def test_the_console_is_the_guests(tmp_path):
    wires = Wires()
    with machine(ECHO, tmp_path / "code", serial_out=wires.serial) as m:
        async def script(app, pilot):
            await press(pilot, "6")
            assert app._panels["console"].has_focus
            for key in ("h", "a", "q", "f5"):               # letters go to the guest, and are no commands
                await type_key(pilot, key)
            end = time.monotonic() + LONG
            while app._panels["console"].terminal.lines != ["ibr"]:
                assert time.monotonic() < end
                await asyncio.sleep(0.02)
            assert app.busy
            await shows(pilot, "ibr")
            for key in ("ctrl+a", "x"):
                await type_key(pilot, key)
            await pilot.pause(0)
            assert app._panels["code"].has_focus
            await press(pilot, "f6")
            assert not app.busy
        run(DebugApp(m, wires), NARROW, script)


def test_errors_are_lines():
    with vsm() as m:
        async def script(app, pilot):
            def broken(machine):
                raise TypeError("a mistake\nof ours")
            app.start("breaking", broken)
            await settled(pilot)
            await shows(pilot, "internal error: TypeError: a mistake of ours")
            app._panels["apic"].draw = lambda width, height: 1 // 0
            await press(pilot, "4")
            await shows(pilot, "internal error: ZeroDivisionError")
            app.wires.report("RDMSR 0x1234 is not implemented")
            await shows(pilot, "0x1234")
        run(DebugApp(m, Wires()), NARROW, script)


def test_the_status_says_that_the_guest_has_ended(tmp_path):
    from tests.emu.debug.guests import END
    with machine(b"\x90" + END, tmp_path / "code") as m:
        async def script(app, pilot):
            await press(pilot, "c")
            await shows(pilot, "the guest ended the run with status 1")
            await press(pilot, "s")
            await shows(pilot, "the guest has ended")
            await press(pilot, "N")
            assert app.session.machine.icount == 2 and isinstance(app.query_one("#status"), StatusBar)
        run(DebugApp(m, Wires()), NARROW, script)


# mov eax, 0x2000; mov dword ptr [rax], 0; nop; nop
WRITE_ENTRY = b"\xb8\x00\x20\x00\x00\xc7\x00\x00\x00\x00\x00\x90\x90"


def test_one_goes_to_what_wrote_a_page_table_entry(tmp_path):
    with machine(WRITE_ENTRY, tmp_path / "code") as m:
        m.physical.write(0x1000, (0x2003).to_bytes(8, "little"))
        m.physical.write(0x2000, (0x83).to_bytes(8, "little"))
        m.step(4)
        plane = m.current
        before, plane.regs.cr3 = plane.regs.cr3, 0x1000         # to look at, not to execute with

        async def script(app, pilot):
            await command(pilot, "walk 0x5000")
            await shows(pilot, "PDPTE: not present", "wrote the PDPTE last")
            plane.regs.cr3 = before
            await press(pilot, "enter")
            assert app.session.machine.icount == 1
        run(DebugApp(m, Wires()), (100, 40), script)
