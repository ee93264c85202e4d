"""The application: panels around a session, a thread that runs the machine, keys and commands."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Static

from emu import Event, Machine, Stop
from emu.debug import event as kinds
from emu.mem.ram import PAGE
from emu.walk import Walk
from tools.debug import commands
from tools.debug.bars import TABS, CommandLine, Hints, StatusBar, TabStrip
from tools.debug.front import Job
from tools.debug.help import HelpScreen
from tools.debug.keys import KEYS
from tools.debug.palette import DARK, LIGHT, Palette
from tools.debug.panels.apic import ApicPanel
from tools.debug.panels.breaks import BreaksPanel
from tools.debug.panels.code import CodePanel
from tools.debug.panels.console import ConsolePanel
from tools.debug.panels.heat import HeatPanel
from tools.debug.panels.log import LogPanel
from tools.debug.panels.memory import MemoryPanel
from tools.debug.panels.panel import Panel
from tools.debug.panels.planes import PlanesPanel
from tools.debug.panels.registers import RegistersPanel
from tools.debug.panels.switch import SwitchPanel
from tools.debug.panels.timeline import TimelinePanel
from tools.debug.panels.walk import WalkPanel
from tools.debug.picture import smaller
from tools.debug.session import Session
from tools.debug.verdict import verdict
from tools.debug.wires import Wires

WIDE = (150, 44)            # columns and rows from which every panel is shown at once
NARROW = 100                # columns below which registers get less room
POLL = 0.1                  # seconds between looks at what the guest wrote
BRIEF, QUEUED = 0.5, 8      # seconds that a move may take, and how many more may wait, for keys to be kept
PATIENCE = 5.0              # ... that quitting waits for the guest
SHOWN = 40                  # candidates for what is being typed
THEMES = {"dark": ("textual-dark", DARK), "light": ("textual-light", LIGHT)}
# In the order of the wide screen's grid, from left to right.
LOWER: tuple[tuple[str, type[Panel]], ...] = (
    ("planes", PlanesPanel), ("switch", SwitchPanel), ("memory", MemoryPanel), ("walk", WalkPanel), ("apic", ApicPanel),
    ("console", ConsolePanel), ("map", HeatPanel), ("breaks", BreaksPanel), ("log", LogPanel))
SPARE = ("log", "breaks")   # of the last two, the one in front is on the wide screen


class DebugApp(App[int]):
    """`theme_name`: dark or light. `busy`: the guest's thread has the session."""

    CSS_PATH = "debug.tcss"
    TITLE = "strata debug"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action if not key.action.startswith("app.") else key.action[4:], key.help, show=False,
                priority=key.action in ("interrupt",)) for key in KEYS]

    def __init__(self, machine: Machine, wires: Wires, theme_name: str = "dark") -> None:
        super().__init__()
        self.session = Session(machine)
        self.wires = wires
        self.busy = False
        self.palette: Palette = DARK
        self._activity, self._since = "", 0.0
        self._queued: list[str] = []
        self._leaving = False
        self._guest: threading.Thread | None = None
        self._front = "memory"
        self._panels: dict[str, Panel] = {}
        path = machine.image.path if machine.image is not None else ""
        self._image = os.path.basename(path)
        self._theme_name = theme_name

    # --- the screen --------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Status, panels, timeline, message or command line, hints."""
        yield StatusBar(id="status")
        with Container(id="body"):
            yield self._add(CodePanel(self.session, "code"))
            yield self._add(RegistersPanel(self.session, "registers"))
            yield TabStrip(id="tabs")
            for name, kind in LOWER:
                yield self._add(kind(self.session, name)).add_class("lower")
        yield self._add(TimelinePanel(self.session, "timeline"))
        yield Static(id="message", markup=False)
        yield CommandLine(self)
        yield Hints(id="hints")

    def _add(self, panel: Panel) -> Panel:
        assert panel.id is not None
        self._panels[panel.id] = panel
        return panel

    def on_mount(self) -> None:
        self.set_theme(self._theme_name)
        self._bring(self._front)
        self._panels["code"].focus()
        self.query_one(Hints).keys()
        self.set_interval(POLL, self._poll)
        self.say("? help   : command   F11 or s steps   ] next plane switch   F5 or c runs")
        self.call_after_refresh(self.reload)

    def on_resize(self, event: events.Resize) -> None:
        wide = event.size.width >= WIDE[0] and event.size.height >= WIDE[1]
        self.screen_stack[0].set_class(wide, "-wide")
        self.screen_stack[0].set_class(event.size.width < NARROW, "-narrow")

    def reload(self) -> None:
        """Every panel looks again."""
        if self.busy:
            return
        for panel in self._panels.values():
            panel.reload()
        self._status()

    def changed(self) -> None:
        """The machine was changed by hand."""
        self.session.changed_by_hand()
        self.session.residency.update()
        self.reload()

    def _status(self) -> None:
        self.query_one(StatusBar).show(self, self.wires.activity or self._activity if self.busy else "", self._image)

    def _bring(self, name: str) -> None:
        """A lower panel to the front."""
        self._front = name
        for each, _ in LOWER:
            panel = self._panels[each]
            panel.set_class(each == name, "-front")
            panel.set_class(each in SPARE and each != (name if name in SPARE else SPARE[-1]), "-spare")
        self.query_one(TabStrip).show(name)

    def say(self, text: str, error: bool = False) -> None:
        """A message: its first line above the hints, all of it in the log."""
        lines = text.splitlines() or [""]
        message = self.query_one("#message", Static)
        message.styles.color = "red" if error else None
        message.update(lines[0])
        log = self._panels["log"]
        assert isinstance(log, LogPanel)
        log.add(text, error)

    def set_theme(self, name: str) -> None:
        """`dark` or `light`."""
        self._theme_name = name
        self.theme, self.palette = THEMES[name]
        self.reload()

    def picture(self, path: str) -> str:
        """Write the screen to a file."""
        if not path:
            raise ValueError
        text = self.export_screenshot(title=f"strata debug {self._image}")
        with open(path, "w", encoding="utf-8") as out:
            out.write(smaller(text))
        return path

    # --- the guest's thread ------------------------------------------------------------------------------------------

    def start(self, what: str, job: Job, stage: int = 0) -> None:
        """Run a job on the guest's thread."""
        if self.busy:
            self.say("the guest runs: Ctrl-C or F6 stops it", error=True)
            return
        self.busy, self._activity, self._since = True, what, time.monotonic()
        memory = self._panels["memory"]
        assert isinstance(memory, MemoryPanel)
        memory.stopped()
        self._guest = threading.Thread(target=self._work, args=(job, stage), name="strata-guest", daemon=True)
        self._guest.start()

    def _work(self, job: Job, stage: int) -> None:
        result: Stop | str | BaseException
        try:
            result = job(self.session.machine)
            if isinstance(result, Stop):
                self.session.stopped(stage, result)
        except BaseException as error:      # whatever it is, the screen says it
            result = error
            with contextlib.suppress(Exception):
                self.session.stopped()
        with contextlib.suppress(RuntimeError):     # the screen has gone meanwhile
            self.call_from_thread(self._done, result)

    def _done(self, result: Stop | str | BaseException) -> None:
        self.busy = False
        if self._leaving or not self._panels["log"].is_attached:
            self.exit(0)
            return
        timeline = self._panels["timeline"]
        assert isinstance(timeline, TimelinePanel)
        timeline.stopped()
        self._poll()
        if isinstance(result, BaseException):
            usual = isinstance(result, ValueError | LookupError | RuntimeError | OSError)
            text = " ".join(str(result.args[0] if result.args else result).split())
            self.say(text if usual else f"internal error: {type(result).__name__}: {text}", error=True)
        elif isinstance(result, str):
            self.say(result)
        else:
            self.say(self._described(result))
            if self.session.stage:
                self._bring("switch")
        if isinstance(result, Stop) and result.reason in ("step", "goto") and self._queued:
            self.action_move(self._queued.pop(0))
        else:
            self._queued.clear()
        self.reload()

    def _described(self, stop: Stop) -> str:
        """Why the machine stands where it does."""
        if stop.reason in ("step", "goto", "max-insns"):
            return f"instruction {stop.icount:,}" if stop.reason != "goto" else stop.message
        if stop.reason == "breakpoint" and stop.events:
            event = stop.events[-1]
            if event.kind == kinds.PLANE_SWITCH and event.source is not None and event.target is not None:
                names = self.session.machine.plane_name(event.source), self.session.machine.plane_name(event.target)
                return f"{names[0]} → {names[1]}: {event.cause}"
            if event.kind == kinds.VIOLATION and event.gpa is not None:
                return self._denied(event)
            more = "" if event.value is None or event.kind not in (kinds.WRITE, kinds.REGISTER, kinds.MSR) else (
                f": {event.value:#x}" if event.old is None else f": {event.old:#x} → {event.value:#x}")
            if event.kind == kinds.INTERRUPT and event.index is not None:
                more = f": {event.index:#x}"
            return f"breakpoint {event.breakpoint.number}: {event.breakpoint.what}{more}"
        return stop.message

    def _denied(self, event: Event) -> str:
        """Who denied an access."""
        plane = self.session.machine.view(event.vcpu, event.plane)
        found = Walk(0, (), event.gpa, PAGE, True, True, True, event.gpa)
        judged = verdict(plane, found, str(event.cause), plane.regs.cpl == 3, paging=False)
        origin = f", set at instruction {judged.origin.icount:,}" if judged.origin is not None else ""
        return f"{plane.name}: {event.cause} of {event.gpa:#x} denied by {judged.denied_by}{origin}; 2 explains"

    def _poll(self) -> None:
        console = self._panels["console"]
        assert isinstance(console, ConsolePanel)
        console.put(self.wires.take_serial())
        console.poll()
        for line in self.wires.take_reports():
            self.say(line)
        if self.busy and time.monotonic() - self._since > POLL:
            self._status()

    def go(self, icount: int) -> None:
        """Go to an instruction count."""
        self.start(f"going to instruction {icount:,}", lambda m: m.goto(icount), 1)

    # --- actions -----------------------------------------------------------------------------------------------------

    def action_move(self, name: str) -> None:
        """One of the ways to go of command_moves. A key that repeats faster than the machine steps waits its turn."""
        if not self.busy:
            commands.execute(self, name)
        elif time.monotonic() - self._since < BRIEF and len(self._queued) < QUEUED:
            self._queued.append(name)
        else:
            self.say("the guest runs: Ctrl-C or F6 stops it", error=True)

    def action_interrupt(self) -> None:
        """Stop the guest."""
        if self.busy:
            self.session.machine.interrupt()
            self.say("stopping ...")
        else:
            self.say("the guest does not run; q ends the debugger")

    def action_run_to_cursor(self) -> None:
        """To the instruction under the cursor."""
        code = self._panels["code"]
        assert isinstance(code, CodePanel)
        commands.execute(self, f"until {code.focus_address:#x}")

    def action_breakpoint(self) -> None:
        """A breakpoint at the cursor, or none."""
        code = self._panels["code"]
        assert isinstance(code, CodePanel)
        if not self.busy:
            self.say(self.session.toggle(code.focus_address))
            self.reload()

    def action_plane(self, by: int) -> None:
        """Look at another plane of the vCPU."""
        if not self.busy:
            plane, count = self.session.plane, len(self.session.planes)
            self.session.choose(plane.vcpu, (plane.number + by) % count)
            self.reload()

    def action_vcpu(self) -> None:
        """Look at the next vCPU's running plane."""
        if not self.busy:
            vcpus = self.session.machine.vcpu
            index = (self.session.plane.vcpu + 1) % len(vcpus)
            self.session.choose(index, vcpus[index].active.number)
            self.reload()

    def action_home(self) -> None:
        """Look at what runs, where it stands."""
        self.session.chosen = self.session.code_at = None
        self.reload()

    def action_panel(self, name: str) -> None:
        """Bring a panel to the front and give it the focus."""
        if name in dict(TABS):
            self._bring(name)
        self._panels[name].focus()
        self.call_after_refresh(self._panels[name].reload)

    def action_zoom(self) -> None:
        """The focused panel alone, or all again."""
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif isinstance(self.focused, Panel):
            self.screen.maximize(self.focused, container=False)

    def action_help(self) -> None:
        """Keys and commands."""
        self.push_screen(HelpScreen(self.palette))

    def action_dark(self) -> None:
        """The other colours."""
        self.set_theme("light" if self._theme_name == "dark" else "dark")

    def action_ask(self, text: str) -> None:
        """The command line, with the beginning of a command."""
        self.query_one("#message").display = False
        self.query_one(CommandLine).open(text)

    async def action_quit(self) -> None:
        """Leave."""
        self.end()

    def end(self) -> None:
        """Stop the guest, then leave."""
        if self.busy:
            self._leaving = True
            self.session.machine.interrupt()
            self.set_timer(PATIENCE, lambda: self.exit(0))
        else:
            self.exit(0)

    def on_unmount(self) -> None:
        """However the screen ends: the machine is its owner's again."""
        if self._guest is not None and self._guest.is_alive():
            self.session.machine.interrupt()
            self._guest.join(PATIENCE)

    # --- the command line --------------------------------------------------------------------------------------------

    def _close(self) -> None:
        line = self.query_one(CommandLine)
        line.display = False
        self.query_one("#message").display = True
        self.query_one(Hints).keys()

    def on_command_line_left(self, _: CommandLine.Left) -> None:
        self._close()
        self._panels["code"].focus()

    def on_input_submitted(self, event: CommandLine.Submitted) -> None:
        self._close()
        self._panels["code"].focus()
        line = self.query_one(CommandLine)
        line.remember(event.value)
        if self.busy and event.value.split()[:1] not in (["send"], ["quit"], ["q"], ["help"]):
            self.say("the guest runs: Ctrl-C or F6 stops it", error=True)
        else:
            commands.execute(self, event.value)

    def on_input_changed(self, event: CommandLine.Changed) -> None:
        known, word = commands.table(), event.value.split(" ")[0]
        found = [] if self.busy else self.query_one(CommandLine).offered or commands.complete(self, event.value)
        self.query_one(Hints).candidates(found[:SHOWN], known[word].usage if word in known else "")
