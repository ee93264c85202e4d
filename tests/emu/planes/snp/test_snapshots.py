"""Snapshots and going back in SNP guests: RMP, nested page table, VMSAs and the hypervisor's memory are state."""
import random
import subprocess
import sys

import pytest

from emu import Machine
from tests.emu.planes.snp.attacked import MEMORY, ROOT
from tests.emu.snapshot.test_snapshot import plain_attributes

SERVICES = str(ROOT / "firmware" / "build" / "snp_services.elf")


def services(**options):
    """The SVSM and its guest on two vCPUs."""
    m = Machine(memory=MEMORY, planes="snp", vcpus=2, **options)
    m.load(SERVICES, append="spin")
    return m


@pytest.fixture(scope="module")
def guest():
    with services() as m:
        m.debugger.history.fine, m.debugger.history.spacing = 20_000, 200_000
        while m.vcpus[0].group.active != 2:             # until VMPL2 runs, which soon calls the SVSM
            assert m.run(max_insns=10_000).reason == "max-insns"
        yield m


def test_a_snapshot_restored_later_is_the_machine_of_then(guest):
    then = guest.snapshot()
    guest.run(max_insns=50_000)
    later = guest.snapshot()
    assert later != then
    guest.restore(then)
    assert guest.snapshot() == then and guest.state_hash() == then.id
    guest.run(max_insns=50_000)
    assert guest.snapshot() == later
    guest.restore(then)


def test_vmpls_come_and_go_with_snapshots(guest):
    with services(history=False) as early:
        before = early.snapshot()
        assert len(early.vcpu[0].plane) == 1
        early.restore(guest.snapshot())
        assert len(early.vcpu[0].plane) == 3 and early.snapshot() == guest.snapshot()
        early.restore(before)
        assert len(early.vcpu[0].plane) == 1 and early.snapshot() == before


def test_no_attribute_of_the_model_is_left_out(guest):
    with services(history=False) as other:
        other.restore(guest.snapshot())
        mine, theirs = plain_attributes(guest), plain_attributes(other)
        assert len(mine) > 300
        assert {path: (mine.get(path), theirs.get(path)) for path in mine.keys() | theirs.keys()
                if mine.get(path) != theirs.get(path)} == {}


def test_a_file_goes_on_in_another_process(guest, tmp_path):
    path = tmp_path / "snp.snapshot"
    guest.save(path)
    script = ("import sys; from emu import Machine\n"
              f"m = Machine(memory={MEMORY}, planes='snp', vcpus=2, history=False); m.restore_file(sys.argv[1])\n"
              "m.run(max_insns=50000); print(m.state_hash())")
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120)
    saved = guest.snapshot()
    guest.run(max_insns=50_000)
    assert result.stdout.strip() == guest.state_hash(), result.stderr
    guest.restore(saved)


def test_goto_lands_on_the_same_state_from_both_sides(guest):
    start = guest.icount
    guest.run(max_insns=60_000)
    end = guest.icount
    choice = random.Random(1)
    places = [choice.randrange(start, end) for _ in range(3)]
    forwards = {}
    for at in sorted(places):
        guest.goto(at)
        forwards[at] = guest.state_hash()
    for at in places:
        guest.goto(min(end, at + choice.randrange(1, 3000)))
        guest.goto(at)
        assert guest.icount == at and guest.state_hash() == forwards[at]
    guest.goto(start)


@pytest.mark.slow
def test_steps_back_undo_steps_across_switches(guest):
    """From the first switch of VMPLs after here, twelve instructions back."""
    start = guest.icount
    with guest.break_plane_switch():
        guest.run()
    hashes = []
    for _ in range(12):
        hashes.append(guest.state_hash())
        guest.reverse_step()
    for expected in reversed(hashes):
        guest.step()
        assert guest.state_hash() == expected
    guest.goto(start)
