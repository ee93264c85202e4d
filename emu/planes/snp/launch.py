"""What a loader hands to the firmware of an SNP machine: pages in order, and what goes with them (FWABI 8.17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

PAGE = 4096
KVM_VMSA_GPA = 0xFFFF_FFFF_F000         # where KVM has the VMSAs that it makes itself; no guest page table reaches it


class PageType(IntEnum):
    """PAGE_TYPE of SNP_LAUNCH_UPDATE (FWABI 8.17.2)."""

    NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class LaunchPage:
    """One SNP_LAUNCH_UPDATE of 4 KiB. `data` has 4096 bytes, or none for zeros; of SECRETS and CPUID pages the firmware
    makes the contents (a CPUID page's data says which functions are wanted). `permissions`: masks of VMPL1 to VMPL3.
    `vcpu`: whose, for a VMSA."""

    gpa: int
    type: PageType
    data: bytes = b""
    permissions: tuple[int, int, int] = (0, 0, 0)
    vcpu: int = 0

    @property
    def contents(self) -> bytes:
        """The 4096 bytes of `data`."""
        return self.data or bytes(PAGE)


# Guest policy (FWABI 4.3). Bits 15:0 are the lowest firmware ABI that will do: major in 15:8, minor in 7:0.
POLICY_SMT, POLICY_ONE, POLICY_MIGRATE_MA, POLICY_DEBUG, POLICY_SINGLE_SOCKET = (
    1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20)
POLICY_CXL, POLICY_AES_256, POLICY_RAPL_OFF, POLICY_CIPHERTEXT_HIDING, POLICY_SWAP_OFF = (
    1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25)
POLICY_KNOWN = (1 << 26) - 1
POLICY_DEFAULT = POLICY_SMT | POLICY_ONE
ABI_MAJOR, ABI_MINOR = 1, 58


@dataclass(frozen=True)
class IdBlock:
    """ID_BLOCK (FWABI table 75) with its keys and signatures, as SNP_LAUNCH_FINISH receives them; all of them raw."""

    launch_digest: bytes            # 48 bytes
    family_id: bytes                # 16 bytes
    image_id: bytes                 # 16 bytes
    version: int
    guest_svn: int
    id_key_algorithm: int
    author_key_algorithm: int
    id_key_signature: bytes         # R and S, 72 bytes each, little-endian
    id_public_key: bytes            # curve u32, reserved u32, QX and QY, 72 bytes each, little-endian
    author_key_signature: bytes
    author_public_key: bytes
    author_key_enabled: bool


@dataclass(frozen=True)
class Launch:
    """An SNP guest before its first instruction. `shared`: (gpa, data) of pages that the host can see too.
    `errors_at`: (gpa, size) of shared memory in which the guest reports errors, where an IGVM file names some."""

    pages: tuple[LaunchPage, ...]
    policy: int = POLICY_DEFAULT
    shared: tuple[tuple[int, bytes], ...] = ()
    id_block: IdBlock | None = None
    errors_at: tuple[tuple[int, int], ...] = ()

    def of_type(self, kind: PageType) -> tuple[LaunchPage, ...]:
        """The pages of one type, in order."""
        return tuple(page for page in self.pages if page.type is kind)


def policy_fault(policy: int) -> str | None:
    """Why firmware refuses a guest policy (FWABI 4.3 and 8.12.2), or None."""
    if not policy & POLICY_ONE:
        return "bit 17 must be 1"
    if policy & ~POLICY_KNOWN:
        return f"bits {policy & ~POLICY_KNOWN:#x} are reserved"
    needed = policy >> 8 & 0xFF, policy & 0xFF
    if needed > (ABI_MAJOR, ABI_MINOR):
        return f"asks for firmware ABI {needed[0]}.{needed[1]}, this is {ABI_MAJOR}.{ABI_MINOR}"
    return None


def split(gpa: int, data: bytes, kind: PageType, permissions: tuple[int, int, int] = (0, 0, 0)) -> list[LaunchPage]:
    """The pages of a piece of memory; `gpa` is page aligned, the last page is filled up with zeros."""
    return [LaunchPage(gpa + at, kind, data[at:at + PAGE].ljust(PAGE, b"\0"), permissions)
            for at in range(0, len(data), PAGE)]


def zeros(gpa: int, size: int, kind: PageType) -> list[LaunchPage]:
    """Pages of zeros; `gpa` and `size` are page aligned."""
    return [LaunchPage(at, kind) for at in range(gpa, gpa + size, PAGE)]


def runs(pages: Iterable[LaunchPage]) -> Iterator[tuple[int, bytes]]:
    """(gpa, data) of what lies together in guest memory, ascending; without VMSAs that only the host reaches."""
    start, gathered = 0, bytearray()
    for page in sorted(pages, key=lambda p: p.gpa):
        if page.gpa == KVM_VMSA_GPA:
            continue
        if gathered and page.gpa != start + len(gathered):
            yield start, bytes(gathered)
            gathered = bytearray()
        if not gathered:
            start = page.gpa
        gathered += page.contents
    if gathered:
        yield start, bytes(gathered)
