"""The key that signs attestation reports, and certificates for it: a test key that everybody knows.

A real report is signed by a key that only one chip has. Here the private numbers are hashes of the texts below, so
that a run can be repeated and nobody can mistake the result for AMD's; every certificate's name says so too.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from emu.planes.snp import tcb

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate, Name

NOTICE = "STRATA TEST KEY, NOT AMD"
ARK, ASK, VCEK = "ARK", "ASK", "VCEK"
_PARENT = {ARK: ARK, ASK: ARK, VCEK: ASK}
COMPONENT = 72                          # bytes of a number in AMD's signature and key formats, little-endian
P384 = 2                                # CURVE (FWABI, chapter "Digital Signatures")
_KEY_SIZE = 0x404                       # bytes of a public key in AMD's format
_FROM, _UNTIL = datetime(2020, 1, 1), datetime(2120, 1, 1)
_AMD_OID = "1.3.6.1.4.1.3704.1."        # extensions of a VCEK certificate (VCEK certificate specification, 57230)


@cache
def private_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The test key of one of the three names, on the curve P-384."""
    from cryptography.hazmat.primitives.asymmetric import ec
    number = int.from_bytes(hashlib.sha384(f"{NOTICE}: {name}".encode()).digest()) >> 1
    return ec.derive_private_key(number, ec.SECP384R1())


def sign(data: bytes) -> bytes:
    """ECDSA with P-384 and SHA-384 by the VCEK, the same each time (RFC 6979): R and S, 72 bytes each, and zeros up to
    512 bytes (FWABI, "ECDSA P-384 with SHA-384 Signature Format")."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    signature = private_key(VCEK).sign(data, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return b"".join(n.to_bytes(COMPONENT, "little") for n in utils.decode_dss_signature(signature)).ljust(512, b"\0")


def verify(data: bytes, signature: bytes, key: ec.EllipticCurvePublicKey | None = None) -> bool:
    """Whether a signature in AMD's format is right; `key`: whose, by default the VCEK."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    r, s = (int.from_bytes(signature[at:at + COMPONENT], "little") for at in (0, COMPONENT))
    try:
        (key or private_key(VCEK).public_key()).verify(
            utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def public_key(numbers: bytes) -> ec.EllipticCurvePublicKey:
    """A P-384 public key from AMD's format: curve u32, QX and QY of 72 bytes. ValueError: another curve, or no point
    of it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    if int.from_bytes(numbers[:4], "little") != P384:
        raise ValueError("the key's curve is not P-384")
    x, y = (int.from_bytes(numbers[at:at + COMPONENT], "little") for at in (4, 4 + COMPONENT))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()


def padded_key(numbers: bytes) -> bytes:
    """A public key in AMD's format at its full size, over which digests and signatures are made."""
    return numbers.ljust(_KEY_SIZE, b"\0")


def _name(name: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, NOTICE),
                      x509.NameAttribute(NameOID.COMMON_NAME, f"SEV-{name} ({NOTICE})")])


@cache
def certificate(name: str) -> Certificate:
    """The X.509 certificate of a test key: the ARK signs its own and the ASK's, the ASK the VCEK's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    issuer = _PARENT[name]
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(issuer)).public_key(
        private_key(name).public_key()).serial_number(1 + list(_PARENT).index(name)).not_valid_before(
        _FROM).not_valid_after(_UNTIL).add_extension(x509.BasicConstraints(ca=name != VCEK, path_length=None), True)
    if name == VCEK:
        for oid, value in _vcek_extensions():
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(_AMD_OID + oid), value), False)
    return builder.sign(private_key(issuer), hashes.SHA384(), ecdsa_deterministic=True)


def _vcek_extensions() -> list[tuple[str, bytes]]:
    """DER: product name, security patch levels, hardware identifier."""
    levels = (("3.1", tcb.BOOT_LOADER), ("3.2", tcb.TEE), ("3.3", tcb.SNP), ("3.8", tcb.MICROCODE))
    product = b"Strata"
    return [("2", bytes((0x16, len(product))) + product), *((oid, bytes((2, 1, level))) for oid, level in levels),
            ("4", tcb.CHIP_ID)]


def certificate_bytes(name: str) -> bytes:
    """A certificate in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding
    return certificate(name).public_bytes(Encoding.DER)
