"""Hypercall codes and status values (TLFS, "Hypercall reference" and appendix "Hypercall status codes")."""

ENABLE_PARTITION_VTL, ENABLE_VP_VTL, VTL_CALL, VTL_RETURN = 0x0D, 0x0F, 0x11, 0x12
GET_VP_REGISTERS, SET_VP_REGISTERS = 0x50, 0x51
NAMES = {
    ENABLE_PARTITION_VTL: "HvCallEnablePartitionVtl", ENABLE_VP_VTL: "HvCallEnableVpVtl", VTL_CALL: "HvCallVtlCall",
    VTL_RETURN: "HvCallVtlReturn", GET_VP_REGISTERS: "HvCallGetVpRegisters", SET_VP_REGISTERS: "HvCallSetVpRegisters",
}

SUCCESS = 0
INVALID_HYPERCALL_CODE = 0x2
INVALID_HYPERCALL_INPUT = 0x3
INVALID_ALIGNMENT = 0x4
INVALID_PARAMETER = 0x5
ACCESS_DENIED = 0x6
INVALID_PARTITION_ID = 0xD
INVALID_VP_INDEX = 0xE
INVALID_REGISTER_VALUE = 0x50
INVALID_VTL_STATE = 0x51
VTL_ALREADY_ENABLED = 0x86

PARTITION_SELF = 0xFFFF_FFFF_FFFF_FFFF
VP_SELF = 0xFFFF_FFFE


class HvError(Exception):
    """A hypercall ends with a status other than success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:#x}")
        self.status = status
