"""A fixed-seed slice of every vector instruction form against the host CPU (SDM Vol. 2), in both engines."""

from collections.abc import Iterator

import pytest

from emu.decode.names import code_name
from tools.oracle.compare import Comparison
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable, cpu_flags
from tools.oracle.vector import cases, lacking, vector_codes

NEEDED = {"avx2", "fma", "f16c", "aes", "pclmulqdq"}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    try:
        found = Host()
    except HostUnavailable as why:
        pytest.skip(str(why))
    if not cpu_flags() >= NEEDED:
        found.close()
        pytest.skip(f"the host CPU lacks {' '.join(sorted(NEEDED - cpu_flags()))}")
    with found:
        yield found


def compare(host: Host, guest: Guest, bits: int, count: int, every: int = 1, seed: int = 7) -> None:
    codes = [c for c in vector_codes(bits) if not lacking(c, bits)][::every]
    comparison = Comparison(host, guest, seed)
    found = [str(d) for d in comparison.run(cases(codes, bits, count, seed))]
    assert found == []
    assert not [n for n in comparison.unimplemented if not n.startswith("EVEX_")]
    assert comparison.count > len(codes) * count * 0.8


@pytest.mark.parametrize("bits", [64, 32])
def test_every_form_does_what_the_host_does(host: Host, bits: int) -> None:
    compare(host, Guest(), bits, 3)


def test_forms_inside_regions_do_what_the_host_does(host: Host) -> None:
    guest = Guest("blocks")
    compare(host, guest, 64, 1, every=9)
    assert guest.engine.regions.compiled > 50


@pytest.mark.slow
@pytest.mark.parametrize("bits", [64, 32])
def test_many_cases_of_every_form(host: Host, bits: int) -> None:
    compare(host, Guest(), bits, 100, seed=11)


@pytest.mark.slow
def test_every_form_inside_regions(host: Host) -> None:
    compare(host, Guest("blocks"), 64, 2)


def test_the_families_are_complete() -> None:
    """Every MMX to SSE4.2 and AVX2 form but those named here has a lowering."""
    names = {code_name(c) for c in vector_codes(64)}
    for name in ("PADDB_MM_MMM64", "VEX_VPADDB_YMM_YMM_YMMM256", "DPPS_XMM_XMMM128_IMM8", "PCMPISTRI_XMM_XMMM128_IMM8",
                 "CVTSD2SI_R64_XMMM64", "MASKMOVDQU_RDI_XMM_XMM", "FXSAVE64_M512BYTE"):
        assert name in names
