"""Connections: clients that come, interrupt, break off and come again; and GDB itself."""
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.emu.debug.guests import VSM, machine
from tools.gdb.packets import Reader, frame
from tools.gdb.server import Server

TOP = Path(__file__).resolve().parents[3]
SESSION = TOP / "docs/gdb-session.gdb"
SPIN = bytes.fromhex("ebfe")


class Client:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=20)
        self.reader, self.waiting = Reader(), []

    def ask(self, packet):
        self.send(frame(packet))
        return self.answer()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        while not self.waiting:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.waiting += self.reader.feed(data)
        return self.waiting.pop(0)


@pytest.fixture
def address(tmp_path):
    with machine(SPIN, tmp_path / "spin.bin") as m:
        server = Server(m, ("127.0.0.1", 0))
        thread = threading.Thread(target=server.serve, args=(lambda line: None,), daemon=True)
        thread.start()
        yield server.address
        client = Client(server.address)
        client.ask(b"k")
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_control_c_stops_a_guest_that_runs(address):
    client = Client(address)
    assert client.ask(b"?") == b"T05thread:p1.1;"
    client.send(frame(b"vCont;c"))
    time.sleep(0.3)
    client.send(b"\x03")
    assert client.answer() == b"T02thread:p1.1;"
    client.send(frame(b"c") + b"\x03")                  # at once
    assert client.answer() == b"T02thread:p1.1;"
    assert client.ask(b"D") == b"OK"


def test_clients_may_break_off_at_any_time_and_come_again(address):
    for parting in (b"", b"$m10", frame(b"c"), b"\xff" * 100, frame(b"Z0,10000,1") + frame(b"c")):
        client = Client(address)
        client.send(parting)
        client.socket.close()
        again = Client(address)
        assert again.ask(b"qC") == b"QCp1.1"
        assert again.ask(b"D") == b"OK"


def test_a_damaged_packet_is_asked_for_again(address):
    client = Client(address)
    client.send(b"$g#00")
    assert client.socket.recv(1) == b"-"
    assert client.ask(b"D;1") == b"OK"


@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed; on Debian 12: apt-get install gdb")
def test_gdb_steps_through_20_plane_switches_and_back(tmp_path):
    """The session of docs/gdb.md, with the GDB that is installed."""
    server = subprocess.Popen([sys.executable, "-m", "tools.cli.main", "gdb", VSM, "--planes", "vsm", "--mem", "64M",
                               "--listen", "127.0.0.1:0", "--once"], cwd=TOP, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    try:
        where = re.search(r"target remote (\S+)", server.stderr.readline())
        text = SESSION.read_text().replace("127.0.0.1:1234", where[1])
        script = tmp_path / "session.gdb"
        script.write_text(text)
        result = subprocess.run(["gdb", "-q", "-nx", "-batch", "-iex", "set architecture i386:x86-64", "-x", script,
                                 VSM.relative_to(TOP)], cwd=TOP, capture_output=True, text=True, timeout=200)
        server.communicate(timeout=30)
    finally:
        server.kill()
    assert "warning" not in (result.stdout + result.stderr).lower(), result.stderr
    there = re.findall(r"^forward \d+: (.*)$", result.stdout, re.MULTILINE)
    back = re.findall(r"^back \d+: (.*)$", result.stdout, re.MULTILINE)
    assert len(there) == 20 and len(back) == 19, result.stdout + result.stderr
    assert back == there[-2::-1]
    transcript = (TOP / "docs/gdb-session.txt").read_text()
    assert re.findall(r"^(?:forward|back) .*$", transcript, re.MULTILINE) == re.findall(
        r"^(?:forward|back) .*$", result.stdout, re.MULTILINE), "docs/gdb-session.txt is not what GDB says now"
    assert {line.split()[0] for line in there} == {"VTL0", "VTL1"} and server.returncode == 0
