"""What the pieces of the hypervisor share: its view of the guest, and what it remembers of each VMPL of a vCPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE
from emu.planes.snp import exits, ghcb, ghcb_msr, intercepts, vmsa
from emu.planes.snp.cipher import HostFault
from emu.planes.snp.nested import NONE
from emu.planes.snp.options import C_BIT
from emu.planes.snp.rmp import VMPLS
from jit import group_layout

if TYPE_CHECKING:
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

RESET_HOLD, INIT_HOLD = "reset hold", "create on INIT"         # Channel.holds


class Channel:
    """One VMPL of a vCPU as the hypervisor sees it. `ghcb`: the GHCB it registered, 0: none; `doorbell`: its #HV
    doorbell page, likewise; `holds`: it waits in an AP reset hold, or for INIT; `notification`: the vector that
    announces events for lower VMPLs under alternate injection; `nmi`: an NMI that its manager is to learn of; `xcr0`
    and `xss`: as the VMPL last gave them."""

    def __init__(self) -> None:
        self.ghcb = 0
        self.doorbell = 0
        self.holds = ""
        self.features = 0
        self.notification = 0
        self.nmi = False
        self.xcr0, self.xss = 1, 0
        self.dr7 = 0x400
        self.rings = False              # #HV is to be delivered
        self.stalled = 0, 0             # RIP and address of the #NPF that was tried last ...
        self.stalls = 0                 # ... and how often in a row


class Base:
    """State and helpers. `direct`: requests to run another VMPL that need no decision are served in compiled code; a
    class that replaces anything sees every exit instead, unless it says otherwise."""

    direct = True
    intercepts: frozenset[int] = intercepts.DEFAULT
    allowed_features = ~vmsa.SECURE_AVIC
    NOT_STATE: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(__package__) and "direct" not in vars(cls):
            cls.direct = False

    def __init__(self, guest: SnpGuest) -> None:
        self.guest = guest
        self.machine = guest.machine
        self.channels = {vcpu.index << 4 | vmpl: Channel() for vcpu in guest.machine.vcpus for vmpl in range(VMPLS)}
        self.jump_table = 0
        self.terminated: tuple[int, int] | None = None  # reason set and reason
        self.exits: dict[int, int] = {}                 # requests of the guest so far, by exit code

    def channel(self, vcpu: VCpu, number: int | None = None) -> Channel:
        """What is known of a plane, by default the active one."""
        plane = vcpu.group.active if number is None else number
        return self.channels[vcpu.index << 4 | plane]

    def reset_ghcb(self) -> int:
        """What the GHCB MSR says before the guest has written it."""
        return ghcb_msr.sev_info(C_BIT, ghcb.MIN_PROTOCOL, ghcb.MAX_PROTOCOL)

    def features_of(self, vcpu: VCpu, number: int) -> int:
        """SEV_FEATURES of a plane: as its VMSA was created, or last run."""
        return self.guest.vps[vcpu.index].contexts[number].features or self.channel(vcpu, number).features

    # --- guest memory, as far as the host can reach it ---------------------------------------------------------------

    def shared_page(self, gpa: int) -> int | None:
        """System-physical address of a shared page of the guest, or None: it is private, or not there."""
        nested, gfn = self.guest.nested, gpa // PAGE
        page = int(nested.page[gfn]) if nested.exists(gfn) else NONE
        if page == NONE or self.guest.rmp.assigned[page]:
            return None
        return page * PAGE

    def read_shared(self, gpa: int, size: int) -> bytes | None:
        """Bytes of shared memory that need not lie in one page; None: some are not shared."""
        data = b""
        while size:
            here = min(size, PAGE - gpa % PAGE)
            page = self.shared_page(gpa)
            if page is None:
                return None
            data += self.machine.memory.read(page + gpa % PAGE, here)
            gpa, size = gpa + here, size - here
        return data

    def write_shared(self, gpa: int, data: bytes) -> bool:
        """Write to shared memory; False, and nothing is written, where some is not shared."""
        pages = range(gpa & -PAGE, gpa + len(data), PAGE)
        places = {page: self.shared_page(page) for page in pages}
        if None in places.values():
            return False
        for page, place in places.items():
            first, end = max(gpa, page), min(gpa + len(data), page + PAGE)
            try:
                self.guest.cipher.write((place or 0) + first - page, data[first - gpa:end - gpa])
            except HostFault:
                return False
        return True

    # --- planes ------------------------------------------------------------------------------------------------------

    def run_plane(self, vcpu: VCpu, number: int, caller: int | None = None) -> None:
        """Let a plane run, and the caller, if one is named, wait until somebody asks for it."""
        if caller is not None and caller != number:
            self.guest.planes.permit(vcpu, caller, False)
        vcpu.group.set(group_layout.CAUSE, group_layout.CAUSE_RUN)
        self.guest.planes.permit(vcpu, number, True)

    def manager(self, vcpu: VCpu, number: int) -> int:
        """The more privileged plane that looks after one: the nearest that has a VMSA, or 0."""
        contexts = self.guest.vps[vcpu.index].contexts
        return next((n for n in range(number - 1, -1, -1) if contexts[n].page is not None), 0)

    def count(self, code: int) -> None:
        """Note a request."""
        self.exits[code] = self.exits.get(code, 0) + 1

    def report_exit(self, code: int) -> None:
        """Name a request that is not served, once."""
        self.guest.report(f"GHCB exit {exits.name(code)}")
