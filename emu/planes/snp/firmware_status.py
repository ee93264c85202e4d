"""Status codes of the firmware's commands (FWABI, table "Status Codes"), and of its answers to a guest."""

SUCCESS, INVALID_GUEST_STATE, INVALID_LENGTH, POLICY_FAILURE, INVALID_ADDRESS = 0x00, 0x02, 0x04, 0x07, 0x09
BAD_SIGNATURE, BAD_MEASUREMENT, UNSUPPORTED, INVALID_PARAM, AEAD_OFLOW = 0x0A, 0x0B, 0x15, 0x16, 0x1D

# STATUS inside a sealed answer
MESSAGE_OK, MESSAGE_INVALID, MESSAGE_INVALID_KEY = 0x00, 0x16, 0x27


class FirmwareError(Exception):
    """A command fails with a status other than SUCCESS."""

    def __init__(self, status: int, rule: str) -> None:
        super().__init__(f"{rule} (firmware status {status:#x})")
        self.status = status
