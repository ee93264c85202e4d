"""What a loader returns: bytes to put into RAM and ROM, the state to start in, the names to show. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.planes.snp.launch import Launch


class ImageError(Exception):
    """A file or option breaks a rule. ``str(e)`` is one line, ``FILE: FIELD: rule broken``, ready to be shown."""

    def __init__(self, path: str, field: str, rule: str) -> None:
        super().__init__(path, field, rule)
        self.path = path
        self.field = field
        self.rule = rule

    def __str__(self) -> str:
        line = f"{self.path}: {self.field}: {self.rule}"
        # A file name may hold any byte but NUL and '/', a terminal escape included.
        return "".join(c if c.isprintable() else "?" for c in line)


def c_string(text: str) -> bytes:
    """``text`` in UTF-8 with a NUL; a surrogate stands for the byte that the host could not decode (PEP 383)."""
    return text.encode("utf-8", "surrogateescape") + b"\0"


@dataclass(frozen=True)
class Segment:
    """``size`` bytes of RAM at guest-physical ``gpa``: ``data``, then zeros. Segments of one image never overlap."""

    gpa: int
    data: bytes
    size: int

    def overlaps(self, gpa: int, size: int) -> bool:
        """Whether any of ``size`` bytes at ``gpa`` are its own."""
        return self.gpa < gpa + size and gpa < self.gpa + self.size


@dataclass(frozen=True)
class Rom:
    """Read-only memory at guest-physical ``gpa``."""

    gpa: int
    data: bytes


@dataclass(frozen=True)
class SegmentRegister:
    """A segment register with its hidden part (SDM Vol. 3A, 3.4.3).

    ``limit`` is in bytes, already scaled by the granularity bit. ``attributes`` is packed as a VMCS access-rights field
    (SDM Vol. 3C, 24.4.1): bits 7:0 are the descriptor's byte 5 (type 3:0, S 4, DPL 6:5, P 7), bits 15:12 are the high
    nibble of its byte 6 (AVL 12, L 13, D/B 14, G 15); bits 11:8 are zero.
    """

    selector: int
    base: int
    limit: int
    attributes: int


@dataclass(frozen=True)
class BootState:
    """The bootstrap processor at its first instruction.

    ``registers`` has rax..r15, rip, rflags, cr0, cr3, cr4 and efer; one that is missing is 0, rflags 2. Where
    ``at_reset``, general registers have what the processor leaves in them.
    ``segments`` has cs, ds, es, fs, gs, ss, ldtr and tr. ``gdtr`` and ``idtr`` are (base, limit).
    """

    registers: dict[str, int]
    segments: dict[str, SegmentRegister]
    gdtr: tuple[int, int]
    idtr: tuple[int, int]
    at_reset: bool = False


@dataclass(frozen=True, order=True)
class Symbol:
    """A named address, guest-virtual as the linker gave it; ``size`` in bytes, 0 when the file does not say."""

    address: int
    size: int
    name: str


@dataclass(frozen=True)
class Image:
    """Everything needed to start a guest. ``kind`` is a name from ``sniff.KINDS``; ``segments`` ascend by address.

    ``launch``: how the firmware of an SEV-SNP machine gets the same bytes, where the file says so.
    """

    kind: str
    path: str
    segments: tuple[Segment, ...]
    boot: BootState
    symbols: tuple[Symbol, ...] = ()
    roms: tuple[Rom, ...] = ()
    launch: Launch | None = None


@dataclass(frozen=True)
class Module:
    """A file handed to the guest beside its kernel; ``text`` is what the user wrote: the name, then any arguments."""

    path: str
    data: bytes
    text: str


@dataclass(frozen=True)
class FirmwareTables:
    """The ``size`` bytes of tables at guest-physical ``base`` that firmware would have left, if the image leaves them
    the place. ``rsdp``: their first bytes, ACPI's root system description pointer; ``rsdp_1``: as ACPI 1.0 has it."""

    base: int
    size: int
    rsdp: bytes
    rsdp_1: bytes


@dataclass(frozen=True)
class Request:
    """One image to load and the options that came with it. ``memory`` is the guest's RAM in bytes, of which the last
    ``reserved`` below 4 GiB are not the image's to use. ``tables``: for boot protocols that hand them on."""

    path: str
    data: bytes = field(repr=False)
    memory: int
    load_address: int | None = None
    mode: int | None = None
    modules: tuple[Module, ...] = ()
    append: str = ""
    reserved: int = 0
    vcpus: int = 1
    tables: FirmwareTables | None = None

    @property
    def command_line(self) -> bytes:
        """``append`` as the guest gets it: the bytes that the user typed, NUL-terminated."""
        return c_string(self.append)

    def error(self, name: str, rule: str) -> ImageError:
        """The error for field ``name`` of this image, to be raised by the caller."""
        return ImageError(self.path, name, rule)
