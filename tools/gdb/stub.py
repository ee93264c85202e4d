"""Commands of the remote protocol (GDB manual, appendix E) and their answers.

A command that is not understood gets the empty answer, one that is wrong an error: nothing that a client sends ends the
session.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import NoReturn

from emu import Breakpoint, Event, Machine, Stop
from emu.debug import event as kinds
from tools.gdb import memorymap, monitor, registers, threads
from tools.gdb.packets import MAX_PACKET, escape, unescape

OK, EMPTY = b"OK", b""
FAULT, INVALID, NO_THREAD = b"E14", b"E16", b"E03"
SIGINT, SIGTRAP, SIGABRT, SIGTERM = 2, 5, 6, 15
MAX_MEMORY = MAX_PACKET // 2 - 16
FEATURES = (f"PacketSize={MAX_PACKET:x};qXfer:features:read+;qXfer:memory-map:read+;qXfer:threads:read+;"
            "vContSupported+;multiprocess+;QStartNoAckMode+;swbreak+;hwbreak+;ReverseStep+;ReverseContinue+")
SIGNALS = {"interrupted": SIGINT, "triple-fault": SIGABRT, "unimplemented": SIGABRT, "exit": SIGTERM,
           "halted": SIGTERM, "reset": SIGTERM, "power-off": SIGTERM}
WATCHES = {"2": ("w", "watch"), "3": ("r", "rwatch"), "4": ("rw", "awatch")}


class Detach(Exception):
    """The client goes; `kill`: the guest is to end, too."""

    def __init__(self, kill: bool) -> None:
        super().__init__()
        self.kill = kill


def hexed(text: str) -> bytes:
    """Text as hexadecimal digits."""
    return binascii.hexlify(text.encode())


def describe(machine: Machine, event: Event) -> str:
    """What was caught, in a line."""
    if event.kind == kinds.PLANE_SWITCH and event.source is not None and event.target is not None:
        return f"{machine.plane_name(event.source)} -> {machine.plane_name(event.target)}, {event.cause}"
    return event.breakpoint.what + (f", {event.index:#x}" if event.index is not None else "")


class Stub:
    """One client's session. `say` sends console text to it while a command runs."""

    def __init__(self, machine: Machine, say: Callable[[str], None]) -> None:
        self.machine, self.say = machine, say
        self.chosen = 0                     # thread for registers and memory
        self.physical = False               # memory is guest-physical
        self.no_ack = False
        self.points: dict[tuple[str, int, int], Breakpoint] = {}
        self.last: Stop | None = None
        self._simple: dict[str, Callable[[str], bytes]] = {
            "?": lambda _: self.stop_reply(), "g": self._read_all, "G": self._write_all, "p": self._read_one,
            "P": self._write_one, "m": self._read_memory, "M": self._write_memory, "H": self._choose,
            "T": self._alive, "Z": self._insert, "z": self._remove, "D": self._detach, "k": self._kill,
            "c": lambda _: self._run("c"), "s": lambda _: self._run("s"), "C": lambda _: self._run("c"),
            "S": lambda _: self._run("s"), "b": self._backwards, "x": self._read_binary,
        }

    def handle(self, packet: bytes) -> bytes:
        """The answer to a packet. Detach: it was the last."""
        if packet.startswith(b"X"):
            return self._guard(lambda: self._write_binary(packet))
        text = packet.decode("latin-1")
        for prefix, command in (("vCont", self._resume), ("qXfer:", self._transfer), ("qRcmd,", self._monitor),
                                ("qSupported", lambda _: FEATURES.encode()),
                                ("qThreadExtraInfo,", self._extra), ("Qqemu.PhyMemMode:", self._phy_mem_mode)):
            if text.startswith(prefix):
                return self._guard(lambda command=command, prefix=prefix: command(text[len(prefix):]))  # type: ignore[misc]
        if text[:1] in ("q", "Q", "v"):
            return self._query(text)
        action = self._simple.get(text[:1])
        return EMPTY if action is None else self._guard(lambda: action(text[1:]))

    def _guard(self, action: Callable[[], bytes]) -> bytes:
        try:
            return action()
        except (ValueError, KeyError, IndexError, OverflowError, binascii.Error):
            return INVALID
        except LookupError:
            return NO_THREAD

    def close(self) -> None:
        """Take the client's breakpoints away."""
        for point in self.points.values():
            point.remove()
        self.points.clear()

    # --- queries -----------------------------------------------------------------------------------------------------

    def _query(self, text: str) -> bytes:
        machine = self.machine
        if text == "qC":
            return f"QC{threads.name(threads.of(machine.current))}".encode()
        if text.startswith("qAttached"):
            return b"1"
        if text == "qfThreadInfo":
            return ("m" + ",".join(threads.name(threads.of(p)) for p in threads.all_threads(machine))).encode()
        if text == "qsThreadInfo":
            return b"l"
        if text.startswith("qSymbol"):
            return OK
        if text == "QStartNoAckMode":
            self.no_ack = True
            return OK
        if text == "qqemu.PhyMemMode":
            return b"1" if self.physical else b"0"
        if text.startswith("vKill"):
            raise Detach(kill=True)
        return EMPTY

    def _extra(self, text: str) -> bytes:
        return hexed(threads.describe(threads.find(self.machine, threads.parse(text))))

    def _phy_mem_mode(self, text: str) -> bytes:
        self.physical = bool(int(text, 16))
        return OK

    def _transfer(self, text: str) -> bytes:
        what, action, _, window = text.split(":")
        offset, length = (int(part, 16) for part in window.split(","))
        documents = {"features": registers.description, "memory-map": lambda: memorymap.document(self.machine),
                     "threads": self._thread_list}
        if action != "read" or what not in documents:
            return EMPTY
        data = documents[what]().encode()
        piece = data[offset:offset + min(length, MAX_PACKET - 16)]
        return (b"m" if offset + len(piece) < len(data) else b"l") + escape(piece)

    def _thread_list(self) -> str:
        lines = [f'<thread id="{threads.name(threads.of(p))}" core="{p.vcpu}" name="{p.name}">'
                 f'{threads.describe(p)}</thread>' for p in threads.all_threads(self.machine)]
        return '<?xml version="1.0"?><threads>' + "".join(lines) + "</threads>"

    def _monitor(self, text: str) -> bytes:
        command = binascii.unhexlify(text).decode("utf-8", "replace")
        answer, moved = monitor.execute(self.machine, command, threads.find(self.machine, self.chosen))
        if moved:
            self.last, self.chosen = None, 0
        return hexed(answer) if answer else OK

    # --- threads, registers, memory ----------------------------------------------------------------------------------

    def _choose(self, text: str) -> bytes:
        thread = threads.parse(text[1:])
        if thread not in (0, -1):
            threads.find(self.machine, thread)
        if text[0] == "g":
            self.chosen = thread
        return OK

    def _alive(self, text: str) -> bytes:
        threads.find(self.machine, threads.parse(text))
        return OK

    def _plane(self) -> threads.PlaneView:
        try:
            return threads.find(self.machine, self.chosen)
        except ValueError:                  # it was there before time went back
            return self.machine.current

    def _read_all(self, _: str) -> bytes:
        plane = self._plane()._plane()
        return binascii.hexlify(b"".join(registers.read(plane, entry) for entry in registers.ENTRIES))

    def _write_all(self, text: str) -> bytes:
        data, at, plane = binascii.unhexlify(text), 0, self._plane()._plane()
        if len(data) != sum(entry.bits // 8 for entry in registers.ENTRIES):
            raise ValueError
        for entry in registers.ENTRIES:
            size = entry.bits // 8
            registers.write(plane, entry, data[at:at + size])
            at += size
        self.machine.note_change()
        return OK

    def _read_one(self, text: str) -> bytes:
        return binascii.hexlify(registers.read(self._plane()._plane(), self._entry(text)))

    def _write_one(self, text: str) -> bytes:
        number, value = text.split("=")
        registers.write(self._plane()._plane(), self._entry(number), binascii.unhexlify(value))
        self.machine.note_change()
        return OK

    @staticmethod
    def _entry(text: str) -> registers.Entry:
        number = int(text, 16)
        if number < 0:
            raise ValueError
        return registers.ENTRIES[number]

    def _fetch(self, text: str) -> bytes:
        address, size = (int(part, 16) for part in text.split(","))
        if address < 0 or not 0 <= size <= MAX_MEMORY:
            raise ValueError
        memory = self.machine.physical if self.physical else self._plane().memory
        while size:
            try:
                return memory.read(address, size)
            except IndexError:              # as much as there is, to the end of a page
                size = min(size - 1, (-address - 1) % 0x1000 + 1 if size > 0x1000 else size // 2)
        return b""

    def _read_memory(self, text: str) -> bytes:
        return binascii.hexlify(self._fetch(text)) or FAULT

    def _read_binary(self, text: str) -> bytes:
        address, size = text.split(",")
        if int(size, 16) == 0:
            return b"b"
        data = self._fetch(text)
        return b"b" + escape(data) if data else FAULT

    def _store(self, where: str, data: bytes) -> bytes:
        address, size = (int(part, 16) for part in where.split(","))
        if size != len(data) or address < 0:
            raise ValueError
        memory = self.machine.physical if self.physical else self._plane().memory
        try:
            memory.write(address, data)
        except IndexError:
            return FAULT
        return OK

    def _write_memory(self, text: str) -> bytes:
        where, data = text.split(":")
        return self._store(where, binascii.unhexlify(data))

    def _write_binary(self, packet: bytes) -> bytes:
        where, data = packet[1:].split(b":", 1)
        return self._store(where.decode("latin-1"), unescape(data))

    # --- breakpoints -------------------------------------------------------------------------------------------------

    def _point(self, text: str) -> tuple[str, int, int]:
        kind, address, size = text.split(";")[0].split(",")
        found = kind, int(address, 16), int(size, 16)
        if found[1] < 0 or found[2] < 0:
            raise ValueError
        return found

    def _insert(self, text: str) -> bytes:
        kind, address, size = self._point(text)
        if (kind, address, size) in self.points:
            return OK
        if kind in ("0", "1"):
            point = self.machine.breakpoint(address)
        elif kind in WATCHES:
            point = self.machine.watch(address, size, WATCHES[kind][0])
        else:
            return EMPTY
        self.points[kind, address, size] = point
        return OK

    def _remove(self, text: str) -> bytes:
        key = self._point(text)
        if key[0] not in ("0", "1", *WATCHES):
            return EMPTY
        point = self.points.pop(key, None)
        if point is not None:
            point.remove()
        return OK

    # --- running -----------------------------------------------------------------------------------------------------

    def _resume(self, text: str) -> bytes:
        if text == "?":
            return b"vCont;c;C;s;S"
        actions = [part.partition(":")[0][:1] for part in text.split(";")[1:]]
        if not actions or any(action not in ("c", "C", "s", "S") for action in actions):
            raise ValueError
        return self._run("s" if actions[0] in ("s", "S") else "c")

    def _run(self, how: str) -> bytes:
        self.last = self.machine.step() if how == "s" else self.machine.run()
        return self._stopped()

    def _backwards(self, text: str) -> bytes:
        if text not in ("s", "c"):
            return EMPTY
        if self.machine.debugger.history is None:
            return INVALID
        start = self.machine.debugger.history.start
        at_start = self.machine.icount <= start
        if text == "s":
            self.last = self.machine.reverse_step()
        else:
            self.last = self.machine.reverse_continue()
        ended = at_start if text == "s" else self.last.reason == "goto"
        return self._stopped(b"replaylog:begin;" if ended else b"")

    def _stopped(self, more: bytes = b"") -> bytes:
        assert self.last is not None
        self.chosen = 0
        for event in self.last.events:
            if event.breakpoint not in self.points.values():
                self.say(f"strata: {describe(self.machine, event)}\n")
        if self.last.reason in SIGNALS and self.last.reason != "interrupted":
            self.say(f"strata: {self.last.message}\n")
        return self.stop_reply(more)

    def stop_reply(self, more: bytes = b"") -> bytes:
        """T packet: why and where the machine stands."""
        stop = self.last
        signal = SIGTRAP if stop is None else SIGNALS.get(stop.reason, SIGTRAP)
        parts = [more.decode()] if more else []
        for event in stop.events if stop is not None else ():
            for (kind, address, _), point in self.points.items():
                if point is event.breakpoint:
                    if event.kind == kinds.EXECUTE:
                        parts.append("swbreak:;" if kind == "0" else "hwbreak:;")
                    else:
                        parts.append(f"{WATCHES[kind][1]}:{address:x};")
        return (f"T{signal:02x}{''.join(parts[:1])}thread:{threads.name(threads.of(self.machine.current))};").encode()

    def _detach(self, _: str) -> NoReturn:
        raise Detach(kill=False)

    def _kill(self, _: str) -> NoReturn:
        raise Detach(kill=True)
