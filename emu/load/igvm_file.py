"""An IGVM file's headers, checked (IGVM file format, crate igvm_defs 0.3: fixed header, variable headers).

Only the form is checked here: what a header means to an SNP guest is igvm.py's.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from emu.load.reader import Reader

MAGIC = b"IGVM"
_FIXED_SIZE = {1: 24, 2: 32}            # by format version; version 2 adds architecture and page size
_CHECKSUM = 20                          # offset of the CRC-32
_X64, _PAGE = 0, 4096

PLATFORM, INITIALIZATION, DIRECTIVE = range(3)
_SECTION_NAMES = ("platform", "initialization", "directive")
_RANGES = ((0x001, 0x100), (0x101, 0x200), (0x301, 0x400))      # types of each section, both ends included
_MAY_IGNORE = 1 << 31

SUPPORTED_PLATFORM, GUEST_POLICY, RELOCATABLE_REGION, PAGE_TABLE_RELOCATION = 0x1, 0x101, 0x102, 0x103
(PARAMETER_AREA, PAGE_DATA, PARAMETER_INSERT, VP_CONTEXT, REQUIRED_MEMORY) = range(0x301, 0x306)
(VP_COUNT, SRAT, MADT, MMIO_RANGES, SNP_ID_BLOCK, MEMORY_MAP, ERROR_RANGE, COMMAND_LINE, SLIT, PPTT, VBS_MEASUREMENT,
 DEVICE_TREE, ENVIRONMENT_INFO) = range(0x307, 0x314)

_PARAMETER = ("II", ("area", "byte_offset"))


class _Form(NamedTuple):
    """A header's name, layout and fields; "_" is a reserved field, which must be zero."""

    name: str
    format: str
    fields: tuple[str, ...]


_FORMS = {
    SUPPORTED_PLATFORM: _Form("SUPPORTED_PLATFORM", "IBBHQ", ("mask", "highest_vtl", "platform", "version",
                                                               "shared_boundary")),
    GUEST_POLICY: _Form("GUEST_POLICY", "QII", ("policy", "mask", "_")),
    RELOCATABLE_REGION: _Form("RELOCATABLE_REGION", "IHBBQQQQQ", (
        "mask", "vp_index", "vtl", "flags", "alignment", "gpa", "size", "minimum", "maximum")),
    PAGE_TABLE_RELOCATION: _Form("PAGE_TABLE_RELOCATION_REGION", "IHBBQQQ", (
        "mask", "vp_index", "vtl", "_", "gpa", "size", "used_size")),
    PARAMETER_AREA: _Form("PARAMETER_AREA", "QII", ("size", "area", "file_offset")),
    PAGE_DATA: _Form("PAGE_DATA", "QIIIHH", ("gpa", "mask", "file_offset", "flags", "data_type", "_")),
    PARAMETER_INSERT: _Form("PARAMETER_INSERT", "QII", ("gpa", "mask", "area")),
    VP_CONTEXT: _Form("VP_CONTEXT", "QIIHH", ("gpa", "mask", "file_offset", "vp_index", "_")),
    REQUIRED_MEMORY: _Form("REQUIRED_MEMORY", "QIIII", ("gpa", "mask", "size", "flags", "_")),
    SNP_ID_BLOCK: _Form("SNP_ID_BLOCK", "IB3s48s16s16sIIII144s152s144s152s", (
        "mask", "author_key_enabled", "_", "launch_digest", "family_id", "image_id", "version", "guest_svn",
        "id_key_algorithm", "author_key_algorithm", "id_key_signature", "id_public_key", "author_key_signature",
        "author_public_key")),
    ERROR_RANGE: _Form("ERROR_RANGE", "QII", ("gpa", "mask", "size")),
    VBS_MEASUREMENT: _Form("VBS_MEASUREMENT", "IIIIIIII64s256s512s", (
        "mask", "version", "product_id", "module_id", "security_version", "policy_flags", "boot_digest_algo",
        "signing_algo", "boot_measurement_digest", "signature", "public_key")),
    **{kind: _Form(name, *_PARAMETER) for kind, name in (
        (VP_COUNT, "VP_COUNT_PARAMETER"), (SRAT, "SRAT"), (MADT, "MADT"), (MMIO_RANGES, "MMIO_RANGES"),
        (MEMORY_MAP, "MEMORY_MAP"), (COMMAND_LINE, "COMMAND_LINE"), (SLIT, "SLIT"), (PPTT, "PPTT"),
        (DEVICE_TREE, "DEVICE_TREE"), (ENVIRONMENT_INFO, "ENVIRONMENT_INFO_PARAMETER"))},
}


@dataclass(frozen=True)
class Header:
    """One variable header: its number in the file, its type, its section and its fields."""

    index: int
    type: int
    section: int
    values: dict[str, int | bytes]

    @property
    def name(self) -> str:
        """The type's name in the specification."""
        return _FORMS[self.type].name

    def __getitem__(self, field: str) -> int:
        value = self.values[field]
        assert isinstance(value, int)
        return value

    def raw(self, field: str) -> bytes:
        """A field of bytes."""
        value = self.values[field]
        assert isinstance(value, bytes)
        return value

    def field(self, name: str) -> str:
        """How an error calls a field of this header."""
        return f"header {self.index}: {self.name}: {name}"


class IgvmFile:
    """A file whose fixed header and checksum are right: its known variable headers in order. Raises ImageError."""

    def __init__(self, path: str, data: bytes) -> None:
        self.reader = reader = Reader(path, data)
        if bytes(reader.span(0, 4, "magic")) != MAGIC:
            raise reader.error("magic", "is not IGVM")
        self.version = reader.uint(4, 4, "format_version")
        if self.version not in _FIXED_SIZE:
            raise reader.error("format_version", f"is {self.version}, known are 1 and 2")
        start, size = reader.uint(8, 4, "variable_header_offset"), reader.uint(12, 4, "variable_header_size")
        fixed = _FIXED_SIZE[self.version]
        if start < fixed or start % 8:
            raise reader.error("variable_header_offset", f"is {start:#x}, must be a multiple of 8 and at least {fixed}")
        total = reader.uint(16, 4, "total_file_size")
        if total != len(data):
            raise reader.error("total_file_size", f"is {total:#x}, the file has {len(data):#x} bytes")
        if self.version == 2:
            self._check_version_2()
        headers = reader.span(start, size, "variable_header_size")
        first = bytearray(reader.span(0, fixed, "fixed header"))
        stored = reader.uint(_CHECKSUM, 4, "checksum")
        first[_CHECKSUM:_CHECKSUM + 4] = bytes(4)
        found = zlib.crc32(headers, zlib.crc32(first))
        if stored != found:
            raise reader.error("checksum", f"is {stored:#010x}, the headers' CRC-32 is {found:#010x}")
        self.headers = self._parse(start, start + size)

    def _check_version_2(self) -> None:
        architecture, page = (self.reader.uint(at, 4, name) for at, name in ((24, "architecture"), (28, "page_size")))
        if architecture != _X64:
            raise self.reader.error("architecture", f"is {architecture}, must be 0 (x86-64)")
        if page != _PAGE:
            raise self.reader.error("page_size", f"is {page}, must be {_PAGE}")

    def _parse(self, at: int, end: int) -> list[Header]:
        found, section, index = [], PLATFORM, 0
        while at < end:
            where = f"header {index}"
            if at + 8 > end:
                raise self.reader.error(where, f"has no room for its type and length at {at:#x}")
            kind, length = (self.reader.uint(at + n, 4, where) for n in (0, 4))
            body, padded = at + 8, (length + 7) // 8 * 8
            if body + padded > end:
                raise self.reader.error(where, f"{length} bytes at {body:#x} go beyond the variable headers")
            if any(self.reader.span(body + length, padded - length, where)):
                raise self.reader.error(where, "the padding after it is not zero")
            section = self._section(kind & ~_MAY_IGNORE, section, where)
            form = _FORMS.get(kind & ~_MAY_IGNORE)
            if form is not None:
                found.append(self._header(index, kind & ~_MAY_IGNORE, form, section, body, length))
            elif not kind & _MAY_IGNORE:
                raise self.reader.error(where, f"type {kind:#x} is not known, and must not be ignored")
            at, index = body + padded, index + 1
        return found

    def _section(self, kind: int, section: int, where: str) -> int:
        for number, (first, last) in enumerate(_RANGES):
            if first <= kind <= last:
                if number < section:
                    raise self.reader.error(where, f"a {_SECTION_NAMES[number]} header (type {kind:#x}) after the "
                                                   f"{_SECTION_NAMES[section]} headers have begun")
                return number
        raise self.reader.error(where, f"type {kind:#x} is in no section")

    def _header(self, index: int, kind: int, form: _Form, section: int, at: int, length: int) -> Header:
        layout = struct.Struct("<" + form.format)
        if length != layout.size:
            raise self.reader.error(f"header {index}: {form.name}", f"has {length} bytes, must have {layout.size}")
        values: dict[str, int | bytes] = {}
        for name, value in zip(form.fields, layout.unpack(self.reader.span(at, length, form.name)), strict=True):
            if name != "_":
                values[name] = value
            elif value and (isinstance(value, int) or any(value)):
                raise self.reader.error(f"header {index}: {form.name}", "a reserved field is not zero")
        return Header(index, kind, section, values)
