"""The compiled selector against the rules in a few lines of Python, for every state of three planes."""
import itertools

import pytest

from emu.planes.policies import PRESETS, mpp
from jit import group_layout as g
from jit import layout
from tests.emu.planes.kvm.guest import Kvm

NOTHING, MASKED, WITHOUT_IF, READY, NMI = range(5)      # what a plane has


def counts(irq_filter, event):
    """Whether it is an event: NMIs are; interrupts in IRR, those that TPR lets through, or those that can be taken."""
    return event == NMI or event >= {g.FILTER_ANY: MASKED, g.FILTER_PRIORITY: WITHOUT_IF, g.FILTER_INJECTABLE: READY}[
        irq_filter]


def expected(policy, active, enabled, runnable, have, asked):
    """The plane that runs next, None for userspace."""
    events = {p for p in enabled if counts(policy.irq_filter, have[p])}
    if policy.mode == g.MODE_USER:
        return None if (events - {active}) & asked else active
    if policy.mode == g.MODE_EVENT:
        higher = [p for p in events if policy.rank(p) < policy.rank(active)]
        return min(higher, key=policy.rank, default=active)
    if policy.mode == g.MODE_MPP:
        mine = events if policy.mediated else events - {active}
        return policy.marker if active != policy.marker and policy.marker in enabled and mine else active
    if policy.marker in enabled and counts(policy.irq_filter, have[policy.marker]):
        runnable = runnable | {policy.marker}
    return min(runnable & enabled, key=policy.rank, default=policy.fallback)


def bits(planes):
    return sum(1 << p for p in planes)


@pytest.fixture(scope="module")
def guest():
    return Kvm("USER", planes=3)


SUBSETS = [set(s) for n in range(4) for s in itertools.combinations(range(3), n)]


@pytest.mark.parametrize("policy", (*PRESETS.values(), mpp(1), mpp(2)), ids=lambda p: p.name)
def test_every_state_of_three_planes(guest, policy):
    group = guest.vcpu.group
    policy.apply(group)
    group.set(g.ENTERED, 0b111)
    for have in itertools.product(range(5), repeat=3):
        for p, event in enumerate(have):
            plane = guest.vcpu.planes[p]
            plane.set(layout.INTERRUPT, int(event in (WITHOUT_IF, READY)))
            plane.set(layout.NMI, int(event == NMI))
            plane.rflags = 0x202 if event == READY else 2
            group.mark(g.WAITING, p, event in (MASKED, WITHOUT_IF, READY))
        for active, chosen in itertools.product(range(3), SUBSETS):
            enabled = chosen | {active, 0}
            for word, planes in ((g.ENABLED, enabled), (g.RUNNABLE, chosen), (g.REQUESTED, chosen)):
                group.set(word, bits(planes))
            group.set(g.ACTIVE, active)
            group.set(g.NOTICED, 0)
            found = guest.m.engine.select(group.address)
            wanted = expected(policy, active, enabled, chosen, have, chosen)
            assert found == (-1 if wanted is None else wanted), (have, active, enabled, chosen)
            assert guest.m.engine.select(group.address) == found
