"""The launch measurement: a digest over each page that the firmware is given (FWABI 8.17.2, "Page Measurement")."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from functools import cache

from emu.planes.snp.launch import PAGE, LaunchPage, PageType

DIGEST_SIZE = 48                        # SHA-384
INITIAL = bytes(DIGEST_SIZE)
# PAGE_INFO: digest so far, contents, length, page type, IMI page, permissions of VMPL3, VMPL2, VMPL1, reserved, GPA
_PAGE_INFO = struct.Struct("<48s48sHBBBBBxQ")
_MEASURED = (PageType.NORMAL, PageType.VMSA)    # the contents of the others are zeros as far as the digest goes


@cache
def _zero_page() -> bytes:
    return hashlib.sha384(bytes(PAGE)).digest()


def page_info(digest: bytes, page: LaunchPage) -> bytes:
    """The PAGE_INFO structure of a page that comes after what `digest` stands for."""
    if page.type not in _MEASURED:
        contents = INITIAL
    elif page.data:
        contents = hashlib.sha384(page.data).digest()
    else:
        contents = _zero_page()
    first, second, third = page.permissions
    return _PAGE_INFO.pack(digest, contents, _PAGE_INFO.size, page.type, 0, third, second, first, page.gpa)


def extend(digest: bytes, page: LaunchPage) -> bytes:
    """The digest after one more page."""
    return hashlib.sha384(page_info(digest, page)).digest()


def launch_digest(pages: Iterable[LaunchPage]) -> bytes:
    """The measurement of pages in their order, 48 bytes: the attestation report's MEASUREMENT."""
    digest = INITIAL
    for page in pages:
        digest = extend(digest, page)
    return digest
