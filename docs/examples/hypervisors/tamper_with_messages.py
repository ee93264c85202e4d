"""Changes a byte in an answer of the firmware."""

from emu.planes.snp.hypervisor import Hypervisor


class TamperWithMessages(Hypervisor):
    def firmware_message(self, request: bytes) -> tuple[int, bytes]:
        status, answer = super().firmware_message(request)
        return status, answer and answer[:0x200] + bytes([answer[0x200] ^ 1]) + answer[0x201:]
