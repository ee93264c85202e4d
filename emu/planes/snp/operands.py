"""What PVALIDATE, RMPADJUST and RMPQUERY have in common: finding the page that a linear address means, and the ways in
which that ends (APM Vol. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emu.planes.snp import exits
from emu.planes.snp.checks import NPF_P, Access, NestedFault, fault, owned
from emu.planes.snp.nested import NONE
from emu.planes.snp.rmp import FAIL_INPUT, FAIL_SIZEMISMATCH, LARGE
from jit import exits as engine_exits
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

RAX, RCX, RDX, RBX = (layout.gpr(n) for n in range(4))
PAGE_SHIFT, LARGE_BYTES = 12, LARGE * 4096
SIZE_2M = 1


class Raises(Exception):
    """The instruction raises an exception: vector, and error code or None."""

    def __init__(self, vector: int, error: int | None = None) -> None:
        super().__init__(vector)
        self.vector, self.error = vector, error


class Intercepted(Exception):
    """The hypervisor intercepts it: #VC with an exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Answer(Exception):
    """The instruction ends with a return code in EAX."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Denied(Exception):
    """It is tried again after the hypervisor, or a handler, has done something: #NPF, or None for #VC 0x404."""

    def __init__(self, nested: NestedFault | None) -> None:
        super().__init__(nested)
        self.nested = nested


class Untranslated(Exception):
    """The guest's page tables stopped the walk; the engine's state says how (FAULT, or DENIED)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Operand(NamedTuple):
    """A page: guest frame and system-physical page, and the access that the processor's checks are about."""

    gfn: int
    page: int
    access: Access


def linear_address(plane: Plane) -> int:
    """rAX by the size of addresses."""
    value = plane.get(RAX)
    return value if plane.get(layout.MODE) & 3 == layout.MODE_64 else value & 0xFFFF_FFFF


def translate(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> Access:
    """The access that the operand in rAX stands for. Untranslated, as the guest's page tables have it."""
    linear = linear_address(plane)
    status = vcpu.engine.walk_operand(plane.address, linear, plane.get(layout.TLB_SET))
    if status != engine_exits.OK:
        raise Untranslated(status)
    return Access(plane.get(layout.WALK_GPA), private=True, vmpl=guest.vmpl(vcpu, plane))


def check_alignment(plane: Plane, size: int) -> None:
    """Answer FAIL_INPUT for a 2 MiB operand that does not begin there."""
    if size == SIZE_2M and linear_address(plane) % LARGE_BYTES:
        raise Answer(FAIL_INPUT)


def find(guest: SnpGuest, access: Access, size: int | None) -> Operand:
    """The operand's page, once the RMP allows it: Denied for pages that are not this guest's, or that a 2 MiB entry
    covers of which 4 KiB are asked for. `size` None: the size is a result."""
    nested, table = guest.nested, guest.rmp
    gfn = access.gpa >> PAGE_SHIFT
    page = int(nested.page[gfn]) if gfn < nested.frames else NONE
    if page == NONE:
        raise Denied(fault(access, 0))
    if not owned(table, nested, guest.asid, gfn):
        raise Denied(fault(access, NPF_P | exits.NPF_RMP))
    large = bool(table.large[page])
    if large and size == 0:
        raise Denied(fault(access, NPF_P | exits.NPF_RMP | exits.NPF_SIZE_MISMATCH))
    return Operand(gfn, page, access)


def check_size(guest: SnpGuest, operand: Operand, size: int) -> None:
    """Answer FAIL_SIZEMISMATCH for 2 MiB of a 4 KiB entry or mapping."""
    if size == SIZE_2M and not (guest.rmp.large[operand.page] and guest.nested.large[operand.gfn]):
        raise Answer(FAIL_SIZEMISMATCH)
