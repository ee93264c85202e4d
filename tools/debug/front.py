"""What commands ask of the screen in front of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from emu import Machine, Stop
from tools.debug.session import Session

Job = Callable[[Machine], Stop | str]       # where the machine stands now, or what to say


class Front(Protocol):
    """The application, or a test's stand-in."""

    session: Session

    def say(self, text: str, error: bool = False) -> None:
        """Tell the user."""

    def start(self, what: str, job: Job, stage: int = 0) -> None:
        """Do something that takes time; `what` says so meanwhile. After a move that ends right behind a plane switch,
        it is explained from `stage` on."""

    def action_panel(self, name: str) -> None:
        """Bring a panel to the front and give it the focus."""

    def reload(self) -> None:
        """Look again."""

    def changed(self) -> None:
        """The machine was changed by hand: look again."""

    def action_help(self) -> None:
        """Show the help screen."""

    def set_theme(self, name: str) -> None:
        """`dark` or `light`."""

    def picture(self, path: str) -> str:
        """Write the screen to a file, as SVG; gives its name."""

    def end(self) -> None:
        """Leave."""
