"""Every x87 instruction form against the host CPU, a fixed slice of cases (tools/oracle/x87.py has the rest)."""
import pytest

from tools.oracle.case import Outcome
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable
from tools.oracle.x87 import X87Comparison, cases, x87_codes

SEED, CASES = 3, 12


@pytest.fixture(scope="module")
def sides():
    try:
        host = Host()
    except HostUnavailable as why:
        pytest.skip(f"no oracle: {why}")
    with host:
        yield host, Guest()


@pytest.mark.parametrize("bits", [64, 32])
def test_engine_agrees_with_host(sides, bits):
    host, guest = sides
    codes = x87_codes(bits)
    assert len(codes) >= 160
    comparison = X87Comparison(host, guest, SEED)
    differences = list(comparison.run(cases(codes, bits, CASES, SEED)))
    assert not differences, "\n".join(map(str, differences[:20]))
    assert not comparison.unimplemented
    assert comparison.count > CASES * 140


def test_a_wrong_result_is_noticed(sides, monkeypatch):
    host, guest = sides
    run = guest.run

    def wrong(case, rip) -> Outcome:
        outcome = run(case, rip)
        return outcome._replace(vector=outcome.vector._replace(fsw=outcome.vector.fsw ^ 0x20))
    monkeypatch.setattr(guest, "run", wrong)
    found = list(X87Comparison(host, guest, SEED).run(cases(x87_codes(64)[:4], 64, 5, SEED)))
    assert found and all("fsw" in str(d) for d in found)
