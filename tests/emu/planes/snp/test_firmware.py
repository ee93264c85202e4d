"""Launches and messages as a guest sees them; seals are made and opened here with AES-GCM itself (FWABI, 8)."""

import hashlib
import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emu.isa import cpu as cpus
from emu.isa.cpuid import Cpuid
from emu.planes.snp import report
from emu.planes.snp.firmware import Firmware
from emu.planes.snp.firmware_status import FirmwareError
from emu.planes.snp.launch import Launch, LaunchPage, PageType
from tests.emu.planes.snp.digest import digest
from tests.emu.planes.snp.owner import AUTHOR_KEY, ID_KEY, firmware_form, id_block

POLICY = 0x30000
PAGES = (LaunchPage(0x1000, PageType.NORMAL, b"\xf4" * 4096), LaunchPage(0x2000, PageType.SECRETS),
         LaunchPage(0x3000, PageType.CPUID), LaunchPage(0x4000, PageType.VMSA, b"\1" * 4096))
DIGEST = digest([(page.gpa, int(page.type), page.contents, (0, 0, 0)) for page in PAGES])
REPORT, KEY, CPUID, TSC = 5, 3, 1, 17


def firmware(launch=None, seed=1):
    found = Firmware(seed, 0xA10F11, Cpuid(cpus.parse("EPYC-Genoa"), 0, 1).read, host_data=b"H" * 32)
    contents = found.launch(launch or Launch(PAGES, POLICY))
    return found, {page.type: data for page, data in contents}


class GuestSide:
    """A guest that knows its secrets page."""

    def __init__(self, launch=None, seed=1):
        self.firmware, pages = firmware(launch, seed)
        secrets = pages[PageType.SECRETS]
        self.keys = [secrets[0x20 + 32 * n:0x40 + 32 * n] for n in range(4)]
        self.count = [0, 0, 0, 0]

    def sealed(self, kind, payload, vmpck=0, sequence=None, *, key=None, **header):
        sequence = self.count[vmpck] + 1 if sequence is None else sequence
        fields = dict(algorithm=1, version=1, size=0x60, payload_version=1, reserved=0) | header
        head = struct.pack("<32xQ8xBBHBBHIB35x", sequence, fields["algorithm"], fields["version"], fields["size"],
                           kind, fields["payload_version"], len(payload), fields["reserved"], vmpck)
        out = AESGCM(key or self.keys[vmpck]).encrypt(struct.pack("<QI", sequence, 0), payload, head[0x30:])
        return (out[-16:] + head[16:] + out[:-16]).ljust(4096, b"\0")

    def ask(self, kind, payload, vmpck=0):
        """Status, and the opened answer."""
        status, page = self.firmware.guest_request(self.sealed(kind, payload, vmpck))
        if status:
            return status, b""
        sequence, algorithm, version, size, answer, _, length, _, used = struct.unpack_from("<32xQ8xBBHBBHIB", page)
        assert (sequence, algorithm, version, size, answer, used) == (
            self.count[vmpck] + 2, 1, 1, 0x60, kind + 1, vmpck)
        self.count[vmpck] += 2
        return 0, AESGCM(self.keys[vmpck]).decrypt(struct.pack("<QI", sequence, 0),
                                                   page[0x60:0x60 + length] + page[:16], page[0x30:0x60])

    def report(self, data=b"D" * 64, vmpl=0, key=0, vmpck=0):
        return self.ask(REPORT, struct.pack("<64sII24x", data, vmpl, key), vmpck)

    def derived(self, fields=0, vmpl=0, svn=0, tcb=0, root=0, vmpck=0):
        status, answer = self.ask(KEY, struct.pack("<IIQIIQ", root, 0, fields, vmpl, svn, tcb), vmpck)
        assert status == 0 and len(answer) == 64
        return int.from_bytes(answer[:4], "little"), answer[0x20:]


@pytest.fixture
def guest():
    return GuestSide()


# --- launch -----------------------------------------------------------------------------------------------------------

def test_pages_get_their_contents():
    found, pages = firmware()
    assert found.measurement == DIGEST
    assert pages[PageType.NORMAL] == b"\xf4" * 4096 and pages[PageType.VMSA] == b"\1" * 4096
    assert pages[PageType.SECRETS][0x20:0xA0] == b"".join(found.keys) and len(set(found.keys)) == 4
    count, function = struct.unpack_from("<I12xI", pages[PageType.CPUID])
    assert 10 < count <= 64 and function == 0


def test_keys_come_from_the_seed():
    assert firmware()[0].keys == firmware()[0].keys != firmware(seed=2)[0].keys


@pytest.mark.parametrize("policy, status", [(0x10000, 7), (0x30000 | 1 << 40, 7), (0x30000 | 0x0200, 7)])
def test_policies_that_are_refused(policy, status):
    with pytest.raises(FirmwareError) as caught:
        firmware(Launch(PAGES, policy))
    assert caught.value.status == status


def test_an_id_block_that_fits():
    for author in (True, False):
        side = GuestSide(Launch(PAGES, POLICY, id_block=id_block(DIGEST, POLICY, author=author)))
        found = report.parse(side.report()[1][0x20:])
        assert found["guest_svn"] == 7 and found["family_id"] == b"F" * 16 and found["image_id"] == b"I" * 16
        assert found["id_key_digest"] == hashlib.sha384(firmware_form(ID_KEY)).digest()
        assert found["author_key_digest"] == (
            hashlib.sha384(firmware_form(AUTHOR_KEY)).digest() if author else bytes(48))
        assert found["flags"] == int(author)


@pytest.mark.parametrize("changes, status", [
    (dict(launch_digest=bytes(48)), 0x0B), (dict(guest_svn=8), 0x0A), (dict(id_key_signature=bytes(144)), 0x0A),
    (dict(author_key_signature=bytes(144)), 0x0A), (dict(version=2), 0x16), (dict(id_key_algorithm=0), 0x16),
    (dict(id_public_key=b"\1" * 152), 0x0A), (dict(image_id=b"J" * 16), 0x0A)])
def test_id_blocks_that_do_not_fit(changes, status):
    with pytest.raises(FirmwareError) as caught:
        firmware(Launch(PAGES, POLICY, id_block=id_block(DIGEST, POLICY, **changes)))
    assert caught.value.status == status


def test_the_id_block_is_for_one_policy():
    with pytest.raises(FirmwareError) as caught:
        firmware(Launch(PAGES, POLICY | 1 << 19, id_block=id_block(DIGEST, POLICY)))
    assert caught.value.status == 0x0A


# --- reports ----------------------------------------------------------------------------------------------------------

def test_a_report(guest):
    status, answer = guest.report()
    assert status == 0 and struct.unpack_from("<II", answer) == (0, 0x4A0) and len(answer) == 0x4C0
    raw = answer[0x20:]
    assert struct.unpack_from("<IIQ", raw) == (3, 0, POLICY) and struct.unpack_from("<II", raw, 0x30) == (0, 1)
    assert raw[0x50:0x90] == b"D" * 64 and raw[0x90:0xC0] == DIGEST and raw[0xC0:0xE0] == b"H" * 32
    assert raw[0x160:0x180] == b"\xff" * 32 and raw[0x188:0x18B] == b"\x19\x11\x01"
    assert b"NOT AN AMD" in raw[0x1A0:0x1E0] and raw[0x1E8:0x1F0] == b"\1\x3a\1\0" * 2
    assert report.verify(raw)


def test_any_changed_byte_breaks_the_signature(guest):
    raw = guest.report()[1][0x20:]
    for at in (0, 0x30, 0x50, 0x90, 0x29F, 0x2A0, 0x2E8):
        assert not report.verify(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:])
    assert not report.verify(raw[:-1]) and not report.verify(raw[:0x2A0] + bytes(512))


@pytest.mark.parametrize("vmpck, vmpl, status", [(0, 0, 0), (0, 3, 0), (2, 2, 0), (2, 1, 0x16), (1, 0, 0x16),
                                                 (0, 4, 0x16)])
def test_a_key_gives_reports_of_its_vmpl_and_below(guest, vmpck, vmpl, status):
    _, answer = guest.report(vmpl=vmpl, vmpck=vmpck)
    assert struct.unpack_from("<I", answer) == (status,)
    if not status:
        assert report.parse(answer[0x20:])["vmpl"] == vmpl and report.verify(answer[0x20:])
    else:
        assert not any(answer[4:])


def test_the_key_that_signs(guest):
    assert guest.report(key=1)[1][:4] == bytes(4)
    assert guest.report(key=2)[1][:4] == b"\x27\0\0\0" and guest.report(key=3)[1][:4] == b"\x16\0\0\0"


def test_reports_of_two_runs_are_equal():
    assert GuestSide().report() == GuestSide().report() != GuestSide(seed=9).report()


# --- sequence numbers and seals ---------------------------------------------------------------------------------------

def test_each_key_counts_for_itself(guest):
    for vmpck in (0, 3, 0, 3):
        assert guest.report(vmpl=3, vmpck=vmpck)[0] == 0
    assert guest.firmware.sequence == [4, 0, 0, 4]


@pytest.mark.parametrize("sequence", [0, 1, 2, 4, (1 << 64) - 2])
def test_a_message_that_is_not_next_is_refused(guest, sequence):
    guest.report()
    page = guest.sealed(REPORT, bytes(96), sequence=sequence)
    assert guest.firmware.guest_request(page) == (0x16, bytes(4096))
    assert guest.report()[0] == 0


def test_sequence_numbers_run_out(guest):
    assert guest.firmware.guest_request(guest.sealed(REPORT, bytes(96), sequence=(1 << 64) - 1))[0] == 0x1D


def test_a_replayed_request_is_refused(guest):
    page = guest.sealed(REPORT, struct.pack("<64sII24x", b"", 0, 0))
    assert guest.firmware.guest_request(page)[0] == 0 and guest.firmware.guest_request(page)[0] == 0x16


@pytest.mark.parametrize("at", [0, 15, 0x31, 0x34, 0x36, 0x60, 0x61, 0xBF])
def test_a_message_that_was_changed_is_refused(guest, at):
    page = bytearray(guest.sealed(REPORT, bytes(96)))
    page[at] ^= 1
    assert guest.firmware.guest_request(bytes(page))[0] in (0x0B, 0x16)
    assert guest.firmware.sequence == [0, 0, 0, 0] and guest.report()[0] == 0


def test_another_key_opens_nothing(guest):
    assert guest.firmware.guest_request(guest.sealed(REPORT, bytes(96), key=guest.keys[1]))[0] == 0x0B
    status, page = guest.firmware.guest_request(guest.sealed(REPORT, bytes(96)))
    assert status == 0
    with pytest.raises(InvalidTag):
        AESGCM(guest.keys[1]).decrypt(struct.pack("<QI", 2, 0), page[0x60:] + page[:16], page[0x30:0x60])


@pytest.mark.parametrize("header", [dict(algorithm=2), dict(version=2), dict(size=0x40), dict(reserved=1),
                                    dict(payload_version=2)])
def test_headers_that_are_refused(guest, header):
    assert guest.firmware.guest_request(guest.sealed(REPORT, bytes(96), **header))[0] == 0x16


def test_messages_that_are_none(guest):
    for page in (bytes(4096), b"\xff" * 4096, b"short", guest.sealed(REPORT, bytes(95)), guest.sealed(7, bytes(96)),
                 guest.sealed(KEY, bytes(31)), guest.sealed(TSC, bytes(127)), guest.sealed(2, bytes(96))):
        assert guest.firmware.guest_request(page)[0] in (0x16, 0x1D)
    unknown = guest.sealed(REPORT, bytes(96))[:0x3C] + b"\4" + bytes(4035)
    assert guest.firmware.guest_request(unknown)[0] == 0x16


def test_a_saved_state_goes_on_where_it_was():
    launch = Launch(PAGES, POLICY, id_block=id_block(DIGEST, POLICY))
    one, two = GuestSide(launch), GuestSide()
    one.report()
    two.firmware.load(one.firmware.save())
    two.count = list(one.count)
    assert two.report() == one.report() and two.firmware.save() == one.firmware.save()


# --- derived keys, CPUID, TSC -----------------------------------------------------------------------------------------

def test_derived_keys_depend_on_what_is_selected():
    one, two = GuestSide(), GuestSide(Launch(PAGES[:1] + PAGES[1:], POLICY | 1 << 19))
    assert one.derived() == two.derived() and one.derived()[0] == 0
    assert one.derived(fields=1)[1] != two.derived(fields=1)[1]                  # the policy
    three = GuestSide(Launch((LaunchPage(0x9000, PageType.NORMAL), *PAGES), POLICY))
    assert one.derived(fields=6) == three.derived(fields=6)
    assert one.derived(fields=8)[1] != three.derived(fields=8)[1]                # the measurement
    found = {one.derived(**options)[1] for options in ({}, dict(vmpl=1), dict(root=1), dict(fields=0x20),
                                                       dict(fields=0x20, tcb=1), dict(fields=0x10))}
    assert len(found) == 6


def test_keys_of_other_seeds_differ():
    assert GuestSide().derived()[1] != GuestSide(seed=5).derived()[1]


@pytest.mark.parametrize("options, status", [
    (dict(vmpck=2, vmpl=1), 0x16), (dict(vmpck=2, vmpl=2), 0), (dict(vmpl=4), 0x16), (dict(svn=1), 0x16),
    (dict(tcb=0xFF << 56), 0x16), (dict(tcb=1 << 16), 0x16), (dict(fields=1 << 6), 0x16), (dict(root=8), 0x16),
    (dict(root=4), 0x27), (dict(root=2), 0)])
def test_which_keys_a_guest_may_have(guest, options, status):
    found, key = guest.derived(**options)
    assert found == status and any(key) == (status == 0)


def test_a_cpuid_table_is_checked(guest):
    own = Cpuid(cpus.parse("EPYC-Genoa"), 0, 1).read(7, 0)
    row = struct.pack("<IIQQ4IQ", 7, 0, 0, 0, *own, 0)
    status, answer = guest.ask(CPUID, struct.pack("<I12x", 1) + row)
    assert status == 0 and struct.unpack_from("<II", answer) == (0, 1) and answer[16:] == row
    more = struct.pack("<IIQQ4IQ", 7, 0, 0, 0, own[0], own[1] | 1 << 14, own[2], own[3], 0)
    answer = guest.ask(CPUID, struct.pack("<I12x", 1) + more)[1]
    assert struct.unpack_from("<II", answer) == (0x16, 1) and answer[16:] == row
    assert guest.ask(CPUID, struct.pack("<I12x", 65) + row)[1][:4] == b"\x16\0\0\0"


def test_tsc_information(guest):
    guest.firmware.tsc_scale, guest.firmware.tsc_offset, guest.firmware.tsc_factor = 1 << 32, 5, 200
    status, answer = guest.ask(TSC, bytes(128))
    assert status == 0 and len(answer) == 128 and struct.unpack_from("<I4xQQI", answer) == (0, 1 << 32, 5, 200)
