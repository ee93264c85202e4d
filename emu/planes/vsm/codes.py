"""Hypercall codes and status values (TLFS, "Hypercall reference" and appendix "Hypercall status codes")."""

FLUSH_SPACE, FLUSH_LIST, NOTIFY_LONG_SPIN_WAIT, SEND_IPI = 0x02, 0x03, 0x08, 0x0B
MODIFY_VTL_PROTECTION_MASK, ENABLE_PARTITION_VTL, ENABLE_VP_VTL, VTL_CALL, VTL_RETURN = 0x0C, 0x0D, 0x0F, 0x11, 0x12
FLUSH_SPACE_EX, FLUSH_LIST_EX, SEND_IPI_EX, INSTALL_INTERCEPT = 0x13, 0x14, 0x15, 0x4D
GET_VP_REGISTERS, SET_VP_REGISTERS, TRANSLATE_VIRTUAL_ADDRESS = 0x50, 0x51, 0x52
POST_MESSAGE, SIGNAL_EVENT, RETARGET_DEVICE_INTERRUPT = 0x5C, 0x5D, 0x7E
REGISTER_INTERCEPT_RESULT, UNREGISTER_INTERCEPT_RESULT, ASSERT_VIRTUAL_INTERRUPT = 0x91, 0x92, 0x94
START_VIRTUAL_PROCESSOR, GET_VP_INDEX_FROM_APIC_ID, TRANSLATE_VIRTUAL_ADDRESS_EX = 0x99, 0x9A, 0xAC
CHECK_FOR_IO_INTERCEPT = 0xAD
SIGNAL_EVENT_DIRECT, POST_MESSAGE_DIRECT, CHECK_SPARSE_GPA_PAGE_VTL_ACCESS = 0xC0, 0xC1, 0xD4
QUERY_CAPABILITIES = 0x8001
NAMES = {
    FLUSH_SPACE: "HvCallFlushVirtualAddressSpace", FLUSH_LIST: "HvCallFlushVirtualAddressList",
    NOTIFY_LONG_SPIN_WAIT: "HvCallNotifyLongSpinWait", SEND_IPI: "HvCallSendSyntheticClusterIpi",
    MODIFY_VTL_PROTECTION_MASK: "HvCallModifyVtlProtectionMask", ENABLE_PARTITION_VTL: "HvCallEnablePartitionVtl",
    ENABLE_VP_VTL: "HvCallEnableVpVtl", VTL_CALL: "HvCallVtlCall", VTL_RETURN: "HvCallVtlReturn",
    FLUSH_SPACE_EX: "HvCallFlushVirtualAddressSpaceEx", FLUSH_LIST_EX: "HvCallFlushVirtualAddressListEx",
    SEND_IPI_EX: "HvCallSendSyntheticClusterIpiEx", INSTALL_INTERCEPT: "HvCallInstallIntercept",
    GET_VP_REGISTERS: "HvCallGetVpRegisters", SET_VP_REGISTERS: "HvCallSetVpRegisters",
    TRANSLATE_VIRTUAL_ADDRESS: "HvCallTranslateVirtualAddress", POST_MESSAGE: "HvCallPostMessage",
    SIGNAL_EVENT: "HvCallSignalEvent", RETARGET_DEVICE_INTERRUPT: "HvCallRetargetDeviceInterrupt",
    REGISTER_INTERCEPT_RESULT: "HvCallRegisterInterceptResult",
    UNREGISTER_INTERCEPT_RESULT: "HvCallUnregisterInterceptResult", CHECK_FOR_IO_INTERCEPT: "HvCallCheckForIoIntercept",
    ASSERT_VIRTUAL_INTERRUPT: "HvCallAssertVirtualInterrupt", START_VIRTUAL_PROCESSOR: "HvCallStartVirtualProcessor",
    GET_VP_INDEX_FROM_APIC_ID: "HvCallGetVpIndexFromApicId",
    TRANSLATE_VIRTUAL_ADDRESS_EX: "HvCallTranslateVirtualAddressEx", SIGNAL_EVENT_DIRECT: "HvCallSignalEventDirect",
    POST_MESSAGE_DIRECT: "HvCallPostMessageDirect",
    CHECK_SPARSE_GPA_PAGE_VTL_ACCESS: "HvCallCheckSparseGpaPageVtlAccess",
    QUERY_CAPABILITIES: "HvExtCallQueryCapabilities",
}

SUCCESS = 0
INVALID_HYPERCALL_CODE = 0x2
INVALID_HYPERCALL_INPUT = 0x3
INVALID_ALIGNMENT = 0x4
INVALID_PARAMETER = 0x5
ACCESS_DENIED = 0x6
INSUFFICIENT_MEMORY = 0xB
INVALID_PARTITION_ID = 0xD
INVALID_VP_INDEX = 0xE
NOT_FOUND = 0x10
INVALID_CONNECTION_ID = 0x12
INSUFFICIENT_BUFFERS = 0x13
INVALID_VP_STATE = 0x15
INVALID_SYNIC_STATE = 0x18
INVALID_REGISTER_VALUE = 0x50
INVALID_VTL_STATE = 0x51
VTL_ALREADY_ENABLED = 0x86

PARTITION_SELF = 0xFFFF_FFFF_FFFF_FFFF
VP_SELF, VP_ANY = 0xFFFF_FFFE, 0xFFFF_FFFF
USE_TARGET_VTL, TARGET_VTL, INPUT_VTL_RESERVED = 0x10, 0xF, 0xE0        # HV_INPUT_VTL


class HvError(Exception):
    """A hypercall ends with a status other than success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:#x}")
        self.status = status


class Retry(Exception):
    """A hypercall does not end now: its instruction is executed again when its VTL runs next."""
