"""Slots of the runtime table: functions that compiled code calls by address because they compile on first use.

An empty slot makes the caller return RUNTIME with the slot in IO_VALUE.
"""

(DELIVER, STOP, STALE, ENTER_REAL, ENTER_LEGACY, ENTER_LONG, LOAD_SEGMENT, FAR_JUMP, FAR_CALL, FAR_RETURN, IRET,
 IRET_LONG, TASK_SWITCH, WRITE_CR, WRITE_DR, READ_MSR, WRITE_MSR, LOAD_SYSTEM, INSPECT, FAST_CALL, FAST_RETURN,
 GATE_CALL, IRET_VM86, TASK_INTERRUPT,
 TASK_RETURN, XSAVE, XRSTOR, ARM_MONITOR, VMGEXIT) = range(29)
SLOTS = 32

NAMES = {
    DELIVER: "deliver", ENTER_REAL: "enter_real", ENTER_LEGACY: "enter_legacy", ENTER_LONG: "enter_long",
    LOAD_SEGMENT: "load_segment", FAR_JUMP: "far_jump", FAR_CALL: "far_call", FAR_RETURN: "far_return", IRET: "iret",
    IRET_LONG: "iret_long", TASK_SWITCH: "task_switch", WRITE_CR: "write_cr", WRITE_DR: "write_dr",
    READ_MSR: "read_msr", WRITE_MSR: "write_msr", LOAD_SYSTEM: "load_system", INSPECT: "inspect",
    FAST_CALL: "fast_call", FAST_RETURN: "fast_return", GATE_CALL: "gate_call", IRET_VM86: "iret_vm86",
    TASK_INTERRUPT: "task_interrupt",
    TASK_RETURN: "task_return", XSAVE: "xsave", XRSTOR: "xrstor", ARM_MONITOR: "arm_monitor",
    VMGEXIT: "vmgexit",
}
