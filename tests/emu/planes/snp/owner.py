"""A guest's owner in the tests: keys of its own, and ID blocks that it signs with them."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from emu.planes.snp.launch import IdBlock

ID_KEY, AUTHOR_KEY = (ec.derive_private_key(number, ec.SECP384R1()) for number in (1234567, 7654321))


def little(number):
    return number.to_bytes(72, "little")


def public(key, *, reserved=bytes(4)):
    """Curve, a reserved word, QX and QY, as an ID block has them in an IGVM file."""
    numbers = key.public_key().public_numbers()
    return b"\2\0\0\0" + reserved + little(numbers.x) + little(numbers.y)


def firmware_form(key):
    """The same as the firmware hashes and signs it: no reserved word, 0x404 bytes."""
    return public(key, reserved=b"").ljust(0x404, b"\0")


def signature(key, data):
    return b"".join(map(little, utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384())))))


def id_block(digest, policy, *, svn=7, author=True, **changes):
    """An ID block that fits, but for `changes`."""
    fields = dict(launch_digest=digest, family_id=b"F" * 16, image_id=b"I" * 16, version=1, guest_svn=svn,
                  id_key_algorithm=1, author_key_algorithm=1 if author else 0, id_public_key=public(ID_KEY),
                  author_public_key=public(AUTHOR_KEY) if author else bytes(152), author_key_enabled=author)
    signed = (digest + b"F" * 16 + b"I" * 16 + (1).to_bytes(4, "little") + svn.to_bytes(4, "little")
              + policy.to_bytes(8, "little"))
    fields["id_key_signature"] = signature(ID_KEY, signed)
    fields["author_key_signature"] = signature(AUTHOR_KEY, firmware_form(ID_KEY)) if author else bytes(144)
    return IdBlock(**{**fields, **changes})
