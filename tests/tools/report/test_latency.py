"""How long planes are held, from lists of switches written by hand."""
import pytest

from tests.fakes.machine import vsm_calls
from tools.report.latency import Row, latencies, median, percentile


def switch(icount, out_of, into, cause="call", vcpu=0, **more):
    return {"icount": icount, "vcpu": vcpu, "from": out_of, "to": into, "cause": cause, **more}


def test_a_call_and_its_return():
    assert latencies([switch(100, 0, 1), switch(130, 1, 0, "return")]) == [Row(0, 1, "call", 1, 30, 30, 30, 30, None)]


def test_a_visit_that_the_end_cut_short_does_not_count():
    assert latencies([switch(100, 0, 1)]) == []
    assert latencies([]) == []


def test_each_vcpu_is_on_its_own():
    rows = latencies([switch(100, 0, 1, vcpu=0), switch(110, 0, 1, vcpu=1), switch(150, 1, 0, "return", vcpu=0),
                      switch(190, 1, 0, "return", vcpu=1)])
    assert rows == [Row(0, 1, "call", 2, 50, 65, 80, 80, None)]


def test_causes_and_directions_are_separate():
    rows = latencies([switch(0, 0, 1), switch(10, 1, 0, "return"), switch(15, 0, 1, "interrupt"),
                      switch(35, 1, 0, "return"), switch(40, 0, 2)])
    assert [(r.out_of, r.into, r.cause, r.count, r.least, r.most) for r in rows] == [
        (0, 1, "call", 1, 10, 10), (1, 0, "return", 2, 5, 5), (0, 1, "interrupt", 1, 20, 20)]


def test_host_time_is_the_entering_switch_s():
    rows = latencies([switch(0, 0, 1, host_ns=300), switch(9, 1, 0, "return", host_ns=50),
                      switch(10, 0, 1, host_ns=100), switch(19, 1, 0, "return", host_ns=50)])
    assert [row.host_ns for row in rows] == [200, 50]


def test_many_calls():
    call, back = latencies(vsm_calls(1000))
    assert (call.count, call.least, call.median, call.p90, call.most) == (1000, 90, 91, 92, 92)
    assert (back.count, back.least, back.most) == (999, 40, 40)


@pytest.mark.parametrize("values, middle, p90", [([5], 5, 5), ([1, 2], 1.5, 2), (list(range(1, 11)), 5.5, 9),
                                                 (list(range(1, 101)), 50.5, 90), ([1, 1, 1, 9], 1, 9)])
def test_median_and_nearest_rank(values, middle, p90):
    assert (median(values), percentile(values, 90)) == (middle, p90)
