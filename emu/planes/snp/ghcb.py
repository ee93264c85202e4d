"""The GHCB: the shared page and the MSR protocol in which guest and hypervisor talk (GHCB specification, 56421).

Offsets are those of the page that the guest's MSR C001_0130 names; a non-zero value in that MSR's low 12 bits is a
request of the MSR protocol instead.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

SIZE = 4096

# Fields with a bit in the valid bitmap (GHCB specification, table 3): name -> offset. CPL is a byte, the others qwords.
FIELDS: dict[str, int] = {
    "cpl": 0x0CB, "xss": 0x140, "dr7": 0x160, "rip": 0x178, "rsp": 0x1D8, "rax": 0x1F8, "rcx": 0x308, "rdx": 0x310,
    "rbx": 0x318, "rbp": 0x328, "rsi": 0x330, "rdi": 0x338, **{f"r{n}": 0x340 + 8 * (n - 8) for n in range(8, 16)},
    "sw_exitcode": 0x390, "sw_exitinfo1": 0x398, "sw_exitinfo2": 0x3A0, "sw_scratch": 0x3A8, "xcr0": 0x3E8,
    "x87_state_gpa": 0x400,
}
BYTE_FIELDS = frozenset({"cpl"})
VALID_BITMAP, VALID_BITMAP_SIZE = 0x3F0, 16
SHARED_BUFFER, SHARED_BUFFER_SIZE = 0x800, 0x7F0
PROTOCOL_VERSION, USAGE = 0xFFA, 0xFFC                          # u16 and u32
MIN_PROTOCOL, MAX_PROTOCOL = 1, 2
USAGE_STANDARD, USAGE_HV_HYPERCALL, USAGE_VTL_RETURN = 0, 1, 2


def valid_bit(name: str) -> int:
    """The number of a field's bit in the valid bitmap: its offset in qwords."""
    return FIELDS[name] // 8


class Ghcb(MutableMapping[str, int]):
    """The fields of a GHCB that are marked valid, as unsigned integers; `page` is a writable buffer of SIZE bytes.

    A field that is not marked is a KeyError; storing a field marks it, deleting one takes the mark away (the value
    stays). ValueError: a value has more bits than its field, or the buffer another size.
    """

    def __init__(self, page: bytearray | memoryview | None = None) -> None:
        self.page = memoryview(bytearray(SIZE) if page is None else page).cast("B")
        if len(self.page) != SIZE:
            raise ValueError(f"a GHCB has {SIZE} bytes, not {len(self.page)}")

    @property
    def valid(self) -> int:
        """The valid bitmap, bit n for the qword at offset 8 n."""
        return self._number(VALID_BITMAP, VALID_BITMAP_SIZE)

    @valid.setter
    def valid(self, bitmap: int) -> None:
        self._store(VALID_BITMAP, VALID_BITMAP_SIZE, bitmap)

    @property
    def version(self) -> int:
        """The protocol version that the guest uses in this request."""
        return self._number(PROTOCOL_VERSION, 2)

    @property
    def usage(self) -> int:
        """What the page is laid out for: one of USAGE_*."""
        return self._number(USAGE, 4)

    def __getitem__(self, name: str) -> int:
        if not self.valid >> valid_bit(name) & 1:
            raise KeyError(name)
        return self._number(FIELDS[name], _size(name))

    def __setitem__(self, name: str, value: int) -> None:
        self._store(FIELDS[name], _size(name), value)
        self.valid |= 1 << valid_bit(name)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.valid &= ~(1 << valid_bit(name))

    def __iter__(self) -> Iterator[str]:
        valid = self.valid
        return (name for name in FIELDS if valid >> valid_bit(name) & 1)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self.page[offset:offset + size], "little")

    def _store(self, offset: int, size: int, value: int) -> None:
        if not 0 <= value < 1 << 8 * size:
            raise ValueError(f"the GHCB field at {offset:#x} has {8 * size} bits, which {value:#x} does not fit")
        self.page[offset:offset + size] = value.to_bytes(size, "little")


def _size(name: str) -> int:
    return 1 if name in BYTE_FIELDS else 8


# Answers in SW_EXITINFO1 bits 31:0, and the reasons in SW_EXITINFO2 that go with MALFORMED (section 4.1)
DONE, EXCEPTION, MALFORMED = 0, 1, 2
NOT_REGISTERED, INVALID_USAGE, INVALID_SCRATCH, MISSING_INPUT, INVALID_INPUT, INVALID_EVENT = 1, 2, 3, 4, 5, 6

# Page state change: header {u16 current, u16 end, u32 reserved}, then entries of 8 bytes (section 4.1.6)
PSC_HEADER, PSC_ENTRY, PSC_MAX_ENTRIES = 8, 8, 253
PSC_CURRENT_PAGE, PSC_GFN, PSC_OPERATION_SHIFT, PSC_2M = 0xFFF, 0xF_FFFF_FFFF_F000, 52, 1 << 56     # of an entry
PSC_BAD_HEADER, PSC_BAD_ENTRY, PSC_GENERIC = 1 << 32 | 1, 1 << 32 | 2, 0x100 << 32                  # SW_EXITINFO2

# SW_EXITINFO1 of IOIO (APM Vol. 2, 15.10.2): how large the operand is, 1, 2 or 4 bytes, stands in bits 6:4
IOIO_IN, IOIO_STRING, IOIO_REP, IOIO_SIZE_SHIFT, IOIO_PORT_SHIFT = 1, 1 << 2, 1 << 3, 4, 16
IOIO_ADDRESS_16, IOIO_ADDRESS_32, IOIO_ADDRESS_64, IOIO_SEGMENT_SHIFT = 1 << 7, 1 << 8, 1 << 9, 10
