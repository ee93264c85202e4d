"""The connection: one client at a time, and another when it has gone."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable

from emu import Machine
from tools.gdb.packets import INTERRUPT, Reader, frame
from tools.gdb.stub import Detach, Stub, hexed

RUNNING = (b"c", b"C", b"s", b"S", b"vCont;", b"b", b"qRcmd,")       # commands that Ctrl-C ends
END = b"#"              # of the connection; no packet contains that


class Server:
    """Serves a machine at `address` (host, port; port 0: any that is free). OSError: it cannot be had."""

    def __init__(self, machine: Machine, address: tuple[str, int]) -> None:
        self.machine = machine
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.create_server(address, family=family)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]

    def serve(self, say: Callable[[str], None], once: bool = False) -> None:
        """Serve clients until one kills the guest, or, with `once`, the first has gone. `say` receives a line about
        each that comes and goes."""
        with self._socket:
            while True:
                connection, peer = self._socket.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                say(f"{peer[0]}:{peer[1]} has connected")
                kill = Session(self.machine, connection).run()
                say(f"{peer[0]}:{peer[1]} has gone")
                if kill or once:
                    return


class Session:
    """One client. A thread reads, so that Ctrl-C arrives while the guest runs."""

    def __init__(self, machine: Machine, connection: socket.socket) -> None:
        self.machine, self._connection = machine, connection
        self._waiting: deque[bytes | None] = deque()        # END after the last
        self._arrived = threading.Condition()
        self._running = False
        self._stub = Stub(machine, self._console)

    def run(self) -> bool:
        """Serve until the client goes; True: the guest is to end."""
        reader = threading.Thread(target=self._read, name="strata-gdb", daemon=True)
        reader.start()
        kill = False
        try:
            while (packet := self._next()) != END:
                self._serve(packet)
        except Detach as detach:
            kill = detach.kill
            with contextlib.suppress(OSError):
                self._send(frame(b"OK"))
        except OSError:
            pass                            # the client has gone in the middle of an answer
        finally:
            self._stub.close()
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
            reader.join()
        return kill

    def _read(self) -> None:
        incoming = Reader()
        with contextlib.suppress(OSError):
            while data := self._connection.recv(65536):
                for packet in incoming.feed(data):
                    self._put(packet)
        self._put(END)

    def _put(self, packet: bytes | None) -> None:
        with self._arrived:
            self._waiting.append(packet)
            self._arrived.notify()
            if self._running and packet in (INTERRUPT, END):
                self.machine.interrupt()

    def _next(self) -> bytes | None:
        with self._arrived:
            while not self._waiting:
                self._arrived.wait()
            return self._waiting.popleft()

    def _serve(self, packet: bytes | None) -> None:
        stub = self._stub
        if packet == INTERRUPT:
            return                          # it came between two runs
        if packet is None:
            self._send(b"-")
            return
        if not stub.no_ack:
            self._send(b"+")
        with self._arrived:
            self._running = packet.startswith(RUNNING)
            if self._running and (INTERRUPT in self._waiting or END in self._waiting):
                self.machine.interrupt()
        try:
            answer = stub.handle(packet)
        finally:
            with self._arrived:
                self._running = False
        self._send(frame(answer))

    def _console(self, text: str) -> None:
        self._send(frame(b"O" + hexed(text)))

    def _send(self, data: bytes) -> None:
        self._connection.sendall(data)
