"""Guest requests: messages to the firmware that the hypervisor only carries (GHCB specification, 4.1.7 and 4.1.8)."""

from __future__ import annotations

from emu.mem.ram import PAGE
from emu.planes.snp import certificates, ghcb
from emu.planes.snp.hypervisor.base import Base
from emu.planes.snp.hypervisor.call import Call, Malformed


class GuestRequests(Base):
    """The way from GHCB to firmware and back."""

    def firmware_message(self, request: bytes) -> tuple[int, bytes]:
        """(firmware status, response page) for a request page."""
        status, answer = self.guest.firmware.guest_request(request)
        return status, b"" if status else answer

    def guest_request(self, call: Call) -> None:
        """INFO1 and INFO2: different shared pages for request and response. INFO2's answer is the firmware's status."""
        request, response = call.info
        if request % PAGE or response % PAGE or request == response:
            raise Malformed(ghcb.INVALID_INPUT)
        message = self.read_shared(request, PAGE)
        if message is None or self.read_shared(response, PAGE) is None:
            raise Malformed(ghcb.INVALID_INPUT)
        call.info2, answer = self.firmware_message(message)
        if answer:
            call.outside[response] = answer.ljust(PAGE, b"\0")

    def certificates(self) -> bytes:
        """What an extended request gives besides: the certificates' table."""
        return certificates.table()

    def extended_guest_request(self, call: Call) -> None:
        """The same, and certificates to RAX, RBX pages of room. Too little room: RBX says how much is needed."""
        gpa, room, table = call["rax"], call["rbx"], self.certificates()
        needed = (len(table) + PAGE - 1) // PAGE
        if room < needed:
            call["rbx"] = needed
            call.info2 = 1 << 32
            return
        if table and (gpa % PAGE or self.read_shared(gpa, len(table)) is None):
            raise Malformed(ghcb.INVALID_INPUT)
        self.guest_request(call)
        if table:
            call.outside[gpa] = table
