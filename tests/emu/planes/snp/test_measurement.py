"""The launch measurement, against a second computation and against what other software has computed."""

import hashlib
import random
from pathlib import Path

import pytest

from emu.load import ovmf
from emu.load.image import load_bytes
from emu.load.model import Request
from emu.planes.snp import launch, measurement
from emu.planes.snp.launch import LaunchPage, PageType
from tests.emu.load.build_igvm import every_header
from tests.emu.planes.snp.digest import digest

# OVMF.fd of Debian's ovmf 2022.11-6+deb12u2, and what virtee's sev-snp-measure 0.0.13 says of it with 2 vCPUs of the
# signature 0x800f12: SEV_FEATURES -> digest
OVMF_SHA256 = "7b456907dd0786d415999e801a1ac463"
OVMF_DIGESTS = {
    0x01: "a5b54e62ae971b58274dd24cc6c47b842662617036e7bd67d7326c07ac6363f35399ef933330a5ea160cead90a00603f",
    0x21: "735869e96909943dd1bd046cf281aec588ae12c2c66ee6844e40e93d423722dbe535fd7dd7cb9a5f45a7adf8d6346c89",
}


def plain(pages):
    return [(page.gpa, int(page.type), page.data or bytes(4096), page.permissions) for page in pages]


def test_no_page_and_one_page():
    assert measurement.launch_digest(()) == bytes(48)
    page = LaunchPage(0x1000, PageType.NORMAL, b"\xf4" * 4096)
    record = measurement.page_info(bytes(48), page)
    assert len(record) == 0x70 and record[0x30:0x60] == hashlib.sha384(b"\xf4" * 4096).digest()
    assert record[0x60:0x68] == b"\x70\0\x01\0\0\0\0\0" and record[0x68:] == b"\0\x10" + bytes(6)
    assert measurement.launch_digest([page]) == hashlib.sha384(record).digest()


def test_random_launches_equal_the_second_computation():
    rng = random.Random("strata measurement")
    for _ in range(20):
        pages = [LaunchPage(rng.getrandbits(40) << 12, rng.choice(list(PageType)),
                            rng.choice((b"", rng.randbytes(4096))),
                            (rng.randrange(16), rng.randrange(16), rng.randrange(16))) for _ in range(rng.randrange(9))]
        assert measurement.launch_digest(pages) == digest(plain(pages))


def test_an_igvm_file_equals_the_second_computation():
    image = load_bytes("igvm", Request("f", every_header(), 64 << 20))
    assert measurement.launch_digest(image.launch.pages) == digest(plain(image.launch.pages))


def test_every_input_counts():
    base = LaunchPage(0x1000, PageType.NORMAL, bytes(4096))
    others = [LaunchPage(0x2000, PageType.NORMAL), LaunchPage(0x1000, PageType.ZERO),
              LaunchPage(0x1000, PageType.NORMAL, b"\1" + bytes(4095)),
              *(LaunchPage(0x1000, PageType.NORMAL, permissions=masks) for masks in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))]
    found = {measurement.launch_digest([page]) for page in (base, *others)}
    assert len(found) == 1 + len(others)
    assert measurement.launch_digest([base]) == measurement.launch_digest([LaunchPage(0x1000, PageType.NORMAL)])
    assert measurement.launch_digest(others) != measurement.launch_digest(others[::-1])


def test_contents_of_unmeasured_pages_do_not_count():
    for kind in (PageType.ZERO, PageType.UNMEASURED, PageType.SECRETS, PageType.CPUID):
        assert measurement.launch_digest([LaunchPage(0, kind, b"\1" * 4096)]) == measurement.launch_digest(
            [LaunchPage(0, kind)])


@pytest.mark.guests
@pytest.mark.parametrize("features", OVMF_DIGESTS)
def test_ovmf_equals_what_other_software_computes(features):
    from tools.fetch import find
    path = find("ovmf")
    if path is None:
        pytest.skip("ovmf is not in the cache: run `strata fetch ovmf`")
    rom = Path(path).read_bytes()
    if hashlib.sha256(rom).hexdigest()[:32] != OVMF_SHA256:
        pytest.skip("the cache has another version of ovmf than 2022.11-6+deb12u2")
    pages = ovmf.snp_launch("f", rom, memory=1 << 30, vcpus=2, signature=0x800F12, features=features).pages
    assert measurement.launch_digest(pages).hex() == OVMF_DIGESTS[features]
    assert measurement.launch_digest(pages) == digest(plain(pages))


def test_policies():
    assert launch.policy_fault(launch.POLICY_DEFAULT) is None
    assert "bit 17" in launch.policy_fault(0x10000)
    assert "reserved" in launch.policy_fault(1 << 63 | 0x20000)
    assert launch.policy_fault(0x20000 | 1 << 8 | 55) is None
    assert "ABI 1.99" in launch.policy_fault(0x20000 | 1 << 8 | 99)
