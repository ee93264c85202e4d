"""The test keys' certificates, and the table of an extended guest request (GHCB specification, 4.1.8.1)."""

import struct

import pytest
from cryptography import x509

from emu.planes.snp import certificates, exits, ghcb, signing
from tests.emu.planes.snp.guest import PAGE, Guest

VCEK, ASK, ARK = (bytes.fromhex(text.replace("-", "")) for text in (
    "63da758d-e664-4564-adc5-f4b93be8accd", "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae"))


def listed():
    table = certificates.table()
    found = {}
    for at in range(0, len(table), 24):
        guid, offset, length = struct.unpack_from("<16sII", table, at)
        if guid == bytes(16):
            assert offset == length == 0
            return found
        found[guid] = x509.load_der_x509_certificate(table[offset:offset + length])
    raise AssertionError("the table has no end")


def test_the_table_has_the_chain_in_whole_pages():
    assert len(certificates.table()) % 4096 == 0 and certificates.table() == certificates.table()
    found = listed()
    assert set(found) == {VCEK, ASK, ARK}
    found[VCEK].verify_directly_issued_by(found[ASK])
    found[ASK].verify_directly_issued_by(found[ARK])
    found[ARK].verify_directly_issued_by(found[ARK])
    with pytest.raises(ValueError):
        found[VCEK].verify_directly_issued_by(found[ARK])


def test_every_certificate_says_that_it_is_not_amds():
    for certificate in listed().values():
        assert "NOT AMD" in certificate.subject.rfc4514_string()


def test_the_certificate_of_the_report_key_has_its_levels():
    oids = {extension.oid.dotted_string: extension.value for extension in listed()[VCEK].extensions}
    assert oids["1.3.6.1.4.1.3704.1.3.3"].value == b"\2\1\x16"
    assert b"NOT AN AMD" in oids["1.3.6.1.4.1.3704.1.4"].value


def test_signatures_in_amds_format():
    signature = signing.sign(b"data")
    assert len(signature) == 512 and not any(signature[144:]) and not any(signature[48:72])
    assert signing.verify(b"data", signature) and not signing.verify(b"date", signature)
    assert not signing.verify(b"data", bytes(512))
    with pytest.raises(ValueError):
        signing.public_key(bytes(148))


def test_certificates_go_to_shared_pages():
    """RAX is page aligned and shared, with RBX pages of room; else nothing happens to the message either."""
    guest = Guest()
    room = len(certificates.table()) // 4096
    for gpa in range(PAGE, PAGE + 0x1000 * (2 + room), 0x1000):
        guest.share(gpa)
    sent = PAGE, PAGE + 0x1000

    def request(data, pages):
        answer = guest.request(exits.EXT_GUEST_REQUEST, *sent, rax=data, rbx=pages)
        return answer["sw_exitinfo1"], answer["sw_exitinfo2"], answer.get("rbx")

    assert request(PAGE + 0x2000, room - 1) == (ghcb.DONE, 1 << 32, room)
    for data in (PAGE + 0x2010, PAGE + 0x100000):
        assert request(data, room) == (ghcb.MALFORMED, ghcb.INVALID_INPUT, None)
    assert request(PAGE + 0x2000, room)[1] >> 32 == 0          # the firmware's status, of an empty message
    assert guest.hv.read_shared(PAGE + 0x2000, 4096 * room) == certificates.table()
