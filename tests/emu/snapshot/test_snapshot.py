"""Snapshots: what is saved comes back, in this process and in another; damaged files are refused."""
import random
import subprocess
import sys
import types

import pytest

from emu import Machine
from emu.clock import Clock, Event
from emu.mem.ram import PAGE, HostBlock
from emu.snapshot import encoding, state
from emu.snapshot.file import SnapshotError
from emu.snapshot.pages import RamTracker
from tests.emu.debug.guests import VSM, vsm

MIDDLE = 200_000            # in VTL1


@pytest.fixture(scope="module")
def guest():
    with vsm() as m:
        yield m


def test_a_snapshot_restored_later_is_the_machine_of_then(guest):
    guest.goto(0)
    guest.run(max_insns=MIDDLE)
    then = guest.snapshot()
    assert guest.current.name == "VTL1"
    guest.run(max_insns=20_000)
    later = guest.snapshot()
    assert later != then
    guest.restore(then)
    assert guest.snapshot() == then and guest.state_hash() == then.id
    guest.run(max_insns=20_000)
    assert guest.snapshot() == later
    assert state.differences(guest.snapshot().state, later.state) == []


def test_snapshots_share_the_pages_that_did_not_change(guest):
    one = guest.snapshot()
    guest.step(50)
    two = guest.snapshot()
    assert len(two.ram.differing(one.ram)) < 20


def test_planes_come_and_go_with_snapshots(guest):
    guest.goto(guest.debugger.history.start)
    early = Machine(memory=8 << 20, planes="vsm", history=False)
    early.load(VSM)
    before = early.snapshot()
    assert len(early.vcpu[0].plane) == 1
    early.run(max_insns=MIDDLE)
    after = early.snapshot()
    assert len(early.vcpu[0].plane) == 2
    early.restore(before)
    assert len(early.vcpu[0].plane) == 1
    early.run(max_insns=MIDDLE)
    assert early.snapshot() == after
    early.restore(before)
    early.restore(after)
    assert len(early.vcpu[0].plane) == 2 and early.snapshot() == after


def test_dirty_tracking_misses_no_store(guest):
    """RAM compared whole with what the tracker believes to be unchanged."""
    tracker: RamTracker = guest.snapshots.tracker
    rng = random.Random(5)
    for _ in range(6):
        guest.run(max_insns=rng.randrange(1, 4000))
        pages = tracker.now().pages
        at = 0
        for _gpa, block in guest.memory.ram:
            for offset in range(0, block.size, PAGE):
                data = bytes(block.view[offset:offset + PAGE])
                assert data == (bytes(PAGE) if pages[at] is None else pages[at].data), hex(offset)
                at += 1
        guest.snapshot()


PLAIN = (bool, int, str, bytes, bytearray, float, type(None))
NOT_STATE = {"_reported", "report", "_report", "seconds", "stopping", "progress", "_slice", "_io_uop", "frontier",
             "reschedule", "_free", "_numbers", "now", "lapic", "_sequence", "_queue", "log", "_waiting", "at", "cpu",
             "journal", "saved"}


def plain_attributes(root):
    """Path -> value of every number, text and container of these below a machine's own objects."""
    found, seen = {}, set()
    waiting = [("pc", root.pc), ("vcpus", root.vcpus), ("model", root.plane_model), ("input", root.input)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, PLAIN):
            found[path] = bytes(value) if isinstance(value, bytearray) else value
        elif isinstance(value, dict):
            waiting += [(f"{path}[{key!r}]", item) for key, item in value.items()]
        elif isinstance(value, list | tuple) or type(value).__name__ == "deque":
            waiting += [(f"{path}[{n}]", item) for n, item in enumerate(value)]
        elif isinstance(value, set | frozenset):
            found[path] = sorted(map(repr, value))
        elif isinstance(value, Event):
            found[path] = (value.at, value.name, value.active) if value.active else None
        elif isinstance(value, HostBlock | types.FunctionType | types.MethodType) or id(value) in seen:
            continue
        elif type(value).__module__.startswith(("emu.dev", "emu.irq", "emu.planes", "emu.isa", "emu.pc", "emu.clock",
                                                "emu.vcpu", "emu.inputs")):
            seen.add(id(value))
            fields = dict(getattr(value, "__dict__", {}))
            for name in getattr(type(value), "__slots__", ()):
                fields[name] = getattr(value, name, None)
            waiting += [(f"{path}.{name}", item) for name, item in fields.items()
                        if name not in NOT_STATE and not name.startswith("__")]
    return {path: value for path, value in found.items() if "_hidden" not in path}


def test_no_attribute_of_the_model_is_left_out(guest):
    """A machine restored from a snapshot equals the one it was taken of, attribute by attribute: state that a class
    gains and nobody saves shows here."""
    guest.goto(guest.debugger.history.start)
    guest.run(max_insns=MIDDLE)
    saved = guest.snapshot()
    other = Machine(memory=8 << 20, planes="vsm", history=False)
    other.load(VSM)
    other.restore(saved)
    mine, theirs = plain_attributes(guest), plain_attributes(other)
    assert len(mine) > 300
    assert {p: (mine.get(p), theirs.get(p)) for p in mine.keys() | theirs.keys() if mine.get(p) != theirs.get(p)} == {}


def test_a_file_goes_on_in_another_process(guest, tmp_path):
    guest.goto(guest.debugger.history.start)
    guest.run(max_insns=MIDDLE)
    path = tmp_path / "vsm.snapshot"
    guest.save(path)
    guest.run(max_insns=30_000)
    script = ("import sys; from emu import Machine\n"
              "m = Machine(memory=8 << 20, planes='vsm', history=False); m.restore_file(sys.argv[1])\n"
              "m.run(max_insns=30000); print(m.state_hash())")
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == guest.state_hash(), result.stderr


def test_damaged_and_foreign_files_are_refused_in_one_line(guest, tmp_path):
    path = tmp_path / "a.snapshot"
    guest.save(path)
    data = path.read_bytes()
    rng = random.Random(1)
    for at in [0, 10, 20, 60, 70, len(data) - 1, *rng.choices(range(len(data)), k=40)]:
        path.write_bytes(data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1:])
        with pytest.raises(SnapshotError, match="^[^\n]*a.snapshot: [^\n]+$"):
            guest.restore_file(path)
    for size in (0, 5, 18, 40, 66, len(data) // 2):
        path.write_bytes(data[:size])
        with pytest.raises(SnapshotError):
            guest.restore_file(path)
    path.write_bytes(data)
    with Machine(memory=4 << 20, history=False) as other, pytest.raises(SnapshotError, match="memory: is 8388608"):
        other.restore_file(path)
    guest.restore_file(path)


def test_encoding_keeps_every_kind_of_plain_data():
    from collections import deque
    data = {"a": b"\0\xff", 3: (1, [2, None]), "s": {3, 1}, "d": deque([b"x"]), "n": {1: {2: "x"}},
            "b": bytearray(b"1")}
    assert encoding.decode(encoding.encode([data])) == [data]
    assert encoding.encode({"x": 1, "y": 2}) == encoding.encode({"y": 2, "x": 1})


def test_events_at_one_time_keep_their_order():
    clock, ran = Clock(), []
    for name in ("b", "a", "c"):
        clock.schedule(10, lambda name=name: ran.append(name), name)
    order = clock.order()
    again = Clock()
    for name in ("a", "b", "c"):
        again.schedule(10, lambda name=name: ran.append(name), name)
    again.reorder(order)
    again.advance(10)
    again.run_due()
    assert ran == ["b", "a", "c"]
