"""RDRAND and RDSEED: numbers that the seed decides (SDM Vol. 1 7.3.17; SplitMix64 as its authors publish it)."""
import pytest

from emu.isa.seed import first_state
from emu.machine import Machine
from jit import layout
from tests.jit.rig import Rig

# SplitMix64 from state 1234567 (the check values that go with its reference implementation)
NUMBERS = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


@pytest.mark.parametrize("code", ["480fc7f0", "480fc7f8"])
def test_the_numbers_are_those_of_the_generator(code):
    rig = Rig("long")
    rig.set("random", 1234567)
    rig.set("flags", 0x8D7)
    found = []
    for _ in NUMBERS:
        rig.step(code)
        found.append(rig.get("rax"))
        assert rig.get("flags") & 0x8D5 == 1            # CF alone: a number is always there
    assert found == NUMBERS


@pytest.mark.parametrize("code, expected", [
    ("660fc7f0", 0xAAAA_AAAA_AAAA_0000 | NUMBERS[0] & 0xFFFF), ("0fc7f0", NUMBERS[0] & 0xFFFF_FFFF)])
def test_narrower_destinations_are_written_as_ever(code, expected):
    rig = Rig("long")
    rig.set("random", 1234567)
    rig.set("rax", 0xAAAA_AAAA_AAAA_AAAA)
    rig.step(code)
    assert rig.get("rax") == expected


def test_the_seed_and_the_vcpu_decide_where_they_start():
    states = {first_state(seed, vcpu, plane) for seed in (0, 1, -1, 1 << 63) for vcpu in range(3) for plane in range(3)}
    assert len(states) == 36
    machine = Machine(vcpus=2, seed=7, engine="interp", memory=1 << 20)
    assert [v.plane.get(layout.RANDOM) for v in machine.vcpus] == [first_state(7, n, 0) for n in (0, 1)]
