"""The keys of the main screen: those of GDB's and of well-known graphical debuggers, with backward variants."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """Textual's names of the keys, separated by commas; the action; a word for the footer, or ""; what it does, for
    the help screen; the group there."""

    keys: str
    action: str
    footer: str
    help: str
    group: str


RUN, LOOK, OTHER = "Run", "Look", "Other"
KEYS = (
    Key("f5,c", "move('continue')", "run", "continue to a breakpoint", RUN),
    Key("f11,s", "move('step')", "step", "one instruction; at a plane switch, its next stage", RUN),
    Key("f10,n", "move('next')", "over", "one instruction, calls and hypercalls with all they do", RUN),
    Key("shift+f11,f", "move('finish')", "", "to after the return of this function", RUN),
    Key("right_square_bracket", "move('next-switch')", "switch", "to after the next plane switch", RUN),
    Key("u,f4", "run_to_cursor", "", "to the instruction under the code panel's cursor", RUN),
    Key("shift+f5,C", "move('reverse-continue')", "", "back to the last breakpoint", RUN),
    Key("shift+f10,N", "move('reverse-next')", "", "back one instruction, over calls", RUN),
    Key("S,b", "move('reverse-step')", "back", "back one instruction, or one stage of a switch", RUN),
    Key("F", "move('reverse-finish')", "", "back to before the call of this function", RUN),
    Key("left_square_bracket", "move('previous-switch')", "", "back to after the last plane switch", RUN),
    Key("ctrl+c,f6", "interrupt", "", "stop the guest", RUN),
    Key("f9", "breakpoint", "break", "a breakpoint at the code panel's cursor, on or off", LOOK),
    Key("p", "plane(1)", "", "look at the next plane (P: the one before)", LOOK),
    Key("P", "plane(-1)", "", "", LOOK),
    Key("v", "vcpu", "", "look at the next vCPU", LOOK),
    Key("m", "ask('mem ')", "", "memory at an address", LOOK),
    Key("w", "ask('walk ')", "", "the page walk of an address", LOOK),
    Key("l", "ask('list ')", "", "the code at an address", LOOK),
    Key("g", "ask('goto ')", "", "go to an instruction count", LOOK),
    Key("full_stop", "home", "", "back to where the guest stands", LOOK),
    Key("1", "panel('memory')", "", "1 to 9: memory, walk, planes, APIC, permission map, console, breakpoints, switch, "
        "log; 0: code, r: registers, t: timeline", LOOK),
    *(Key(str(n), f"panel('{name}')", "", "", LOOK) for n, name in enumerate(
        ("walk", "planes", "apic", "map", "console", "breaks", "switch", "log"), 2)),
    Key("0", "panel('code')", "", "", LOOK), Key("r", "panel('registers')", "", "", LOOK),
    Key("t", "panel('timeline')", "", "", LOOK),
    Key("z", "zoom", "", "the panel with the focus as large as the screen, and back", LOOK),
    Key("tab", "app.focus_next", "", "the next panel (Shift-Tab: the one before)", LOOK),
    Key("slash,colon", "ask('')", "command", "the command line; Tab completes, Escape leaves", OTHER),
    Key("f1,question_mark", "help", "help", "this screen", OTHER),
    Key("d", "dark", "", "dark or light", OTHER),
    Key("ctrl+q,q", "quit", "quit", "end", OTHER),
)
NAMES = {"right_square_bracket": "]", "left_square_bracket": "[", "colon": ":", "slash": "/", "question_mark": "?",
         "full_stop": ".", "ctrl+c": "Ctrl-C", "ctrl+q": "Ctrl-Q", "tab": "Tab"}


def written(keys: str) -> str:
    """Keys as people write them."""
    return " ".join(NAMES.get(key, "-".join(part.capitalize() if len(part) > 1 else part for part in key.split("+")))
                    for key in keys.split(","))
