"""Virtual time: conversion both ways, event order, skipping, save and load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.clock import Clock, ClockModel
from jit import exits
from tests.emu.flat import Flat


def test_default_model_is_one_ns_an_instruction_and_1_ghz() -> None:
    clock = Clock()
    clock.advance(1234)
    assert (clock.now, clock.tsc) == (1234, 1234)


def test_time_does_not_go_back() -> None:
    clock = Clock()
    clock.advance(10)
    with pytest.raises(ValueError):
        clock.advance(9)
    clock.skip_to(5)
    assert clock.now == 10


def test_events_run_in_time_order_then_insertion_order() -> None:
    clock, log = Clock(), []
    for name, at in (("c", 20), ("a", 10), ("b", 10), ("later", 31)):
        clock.schedule(at, lambda name=name: log.append(name), name)
    clock.advance(30)
    assert clock.run_due() == 3
    assert log == ["a", "b", "c"]
    assert clock.next_deadline() == 31


def test_cancelled_event_neither_runs_nor_sets_the_deadline() -> None:
    clock, log = Clock(), []
    event = clock.schedule(5, lambda: log.append(1), "x")
    clock.schedule(9, lambda: log.append(2), "y")
    clock.cancel(event)
    clock.cancel(None)
    assert clock.deadline_icount() == 9
    clock.advance(9)
    clock.run_due()
    assert log == [2] and clock.next_deadline() is None and clock.deadline_icount() is None


def test_event_scheduled_by_a_callback_runs_in_the_same_call_if_due() -> None:
    clock, log = Clock(), []
    clock.schedule(5, lambda: clock.schedule(7, lambda: log.append(clock.now), "inner"), "outer")
    clock.advance(8)
    clock.run_due()
    assert log == [8]


def test_skip_adds_idle_time() -> None:
    clock = Clock()
    clock.advance(100)
    clock.skip_to(1_000_000)
    clock.advance(150)
    assert clock.now == 1_000_050
    clock.schedule(1_000_060, lambda: None, "x")
    assert clock.deadline_icount() == 160


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 10**12), st.integers(0, 10**6))
def test_deadline_icount_is_the_first_that_reaches_the_deadline(num: int, den: int, at: int, skip: int) -> None:
    clock = Clock(ClockModel("m", num, den))
    clock.skip_to(skip)
    clock.schedule(at, lambda: None, "x")
    icount = clock.deadline_icount()
    assert icount is not None
    if icount:
        clock.advance(icount - 1)
        assert clock.now < at
    clock.advance(icount)
    assert clock.now >= at


def test_tsc_conversion_rounds_to_the_first_ns() -> None:
    clock = Clock(ClockModel("3GHz", 1, 3, 3_000_000_000))
    assert clock.tsc_to_ns(4) == 2
    clock.skip_to(2)
    assert clock.tsc == 6


def test_bad_model_is_refused() -> None:
    with pytest.raises(ValueError, match="zero"):
        ClockModel("zero", 0)


def test_save_and_load() -> None:
    clock = Clock()
    clock.advance(10)
    clock.skip_to(50)
    clock.schedule(60, lambda: None, "x")
    other = Clock()
    other.load(clock.save())
    assert (other.now, other.icount, other.next_deadline()) == (50, 10, None)
    other.advance(11)
    assert other.now == 51


def test_accesses_to_devices_take_time_and_those_to_the_local_apic_none():
    """A guest that polls the HPET for 100 us needs 200 reads, not a hundred thousand instructions."""
    flat = Flat()
    model = flat.m.clock.model
    for address, cost in ((0xFED000F0, model.mmio_ns), (0xFEE00020, 0)):
        before = flat.m.clock.now
        assert flat.m.device_access(flat.vcpu, exits.IO_MMIO_READ, address, 4, 0) is not None
        assert flat.m.clock.now - before == cost
    before = flat.m.clock.now
    flat.m.device_access(flat.vcpu, exits.IO_PORT_READ, 0x80, 1, 0)
    assert flat.m.clock.now - before == model.port_ns
