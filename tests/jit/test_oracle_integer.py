"""Every integer instruction form against the host CPU, a fixed slice of cases (tools/oracle has the rest)."""
import pytest

from emu.decode.names import code_name
from tools.oracle.compare import Comparison
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable, cpu_flags
from tools.oracle.integer import cases, integer_codes, lacking

SEED, CASES = 20, 6


@pytest.fixture(scope="module")
def sides():
    try:
        host = Host()
    except HostUnavailable as why:
        pytest.skip(f"no oracle: {why}")
    with host:
        yield host, Guest()


@pytest.mark.parametrize("bits, at_least", [(64, 700), (32, 550)])
def test_engine_agrees_with_host(sides, bits, at_least):
    host, guest = sides
    codes = integer_codes(bits)
    assert len(codes) >= at_least
    flags = cpu_flags()
    missing = {code: feature for code in codes if (feature := lacking(code, bits, flags))}
    if missing:
        print("not on this CPU:", ", ".join(sorted({f"{code_name(c)} ({f})" for c, f in missing.items()})))
    comparison = Comparison(host, guest, SEED)
    differences = list(comparison.run(cases([c for c in codes if c not in missing], bits, CASES, SEED)))
    assert not differences, "\n".join(map(str, differences[:20]))
    assert not comparison.unimplemented
    assert comparison.count > CASES * at_least // 2


def test_a_wrong_engine_is_noticed(sides, monkeypatch):
    host, guest = sides
    comparison = Comparison(host, guest, SEED)
    run = guest.run
    monkeypatch.setattr(guest, "run", lambda case, rip: run(case, rip)._replace(flags=case.flags ^ 0x800))
    codes = [c for c in integer_codes(64) if code_name(c) == "ADD_RM64_R64"]
    found = list(comparison.run(cases(codes, 64, 20, SEED)))
    assert found and all("flags" in str(d) for d in found)
