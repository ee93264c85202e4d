"""The compiled functions that are not micro-ops: name -> (function, signature)."""

from typing import Any

from numba import types

from jit import (
    control_registers,
    deliver,
    descriptor,
    enter,
    far,
    fastcall,
    frame,
    gate,
    group,
    inspect,
    interrupt_return,
    mode,
    monitor,
    msr,
    region_access,
    run,
    segload,
    simd_convert,
    simd_estimates,
    simd_float,
    simd_fma,
    simd_parts,
    simd_special,
    simd_string,
    slow,
    task,
    tlb,
    vector_access,
    watch,
    xsave,
)
from jit.semantics import io
from jit.x87 import functions as x87

_ACCESS = types.int64(types.voidptr, types.int64, types.int64)
_VECTOR_ACCESS = types.int64(types.voidptr, types.int64, types.int64, types.int64)
_STATE = types.int64(types.voidptr)



def _pure(arguments: int) -> Any:
    """Signature of a function of the FPU file's address and words."""
    return types.int64(*[types.int64] * arguments)


FUNCTIONS = {
    "translate": (tlb.translate, types.int64(types.voidptr, types.int64, types.int64, types.int64)),
    "slow_load": (slow.slow_load, _ACCESS),
    "slow_store": (slow.slow_store, _ACCESS),
    "slow_probe": (slow.slow_probe, _ACCESS),
    "jump_cached": (run.jump_cached, _STATE),
    "fall_through": (run.fall_through, types.void(types.voidptr, types.int64)),
    "run": (run.run, _STATE),
    "run_group": (group.run_group, _STATE),
    "withdraw_writes": (tlb.withdraw_writes, types.int64(types.voidptr, types.int64)),
    "flush_all": (tlb.flush_all_translations, _STATE),
    "region_load": (region_access.region_load, _ACCESS),
    "region_store": (region_access.region_store, _ACCESS),
    "region_probe": (region_access.region_probe, _ACCESS),
    "slow_loadv": (vector_access.slow_loadv, _VECTOR_ACCESS),
    "slow_storev": (vector_access.slow_storev, _VECTOR_ACCESS),
    "region_loadv": (vector_access.region_loadv, _VECTOR_ACCESS),
    "region_storev": (vector_access.region_storev, _VECTOR_ACCESS),
    "pure_arithmetic": (simd_float.pure_arithmetic, _pure(5)),
    "pure_dot_bfloat": (simd_fma.pure_dot_bfloat, _pure(5)),
    "pure_fma": (simd_fma.pure_fma, _pure(6)),
    "pure_parts": (simd_parts.pure_parts, _pure(6)),
    "pure_repair": (simd_parts.pure_repair, _pure(6)),
    "pure_estimate14": (simd_estimates.pure_estimate14, _pure(5)),
    "pure_compare": (simd_float.pure_compare, _pure(6)),
    "pure_compare_flags": (simd_float.pure_compare_flags, _pure(5)),
    "pure_convert": (simd_convert.pure_convert, _pure(6)),
    "pure_round": (simd_convert.pure_round, _pure(6)),
    "pure_dot": (simd_special.pure_dot, _pure(6)),
    "pure_estimate": (simd_special.pure_estimate, _pure(5)),
    "pure_string": (simd_string.pure_string, _pure(6)),
    "pure_to_general": (simd_convert.pure_to_general, _pure(4)),
    "note_write": (monitor.write_watched, _ACCESS),
    "arm_monitor": (monitor.arm_monitor, _STATE),
    "xsave": (xsave.xsave, _STATE),
    "xrstor": (xsave.xrstor, _STATE),
    "update_mode": (mode.update_mode, _STATE),
    "read_descriptor": (descriptor.read_descriptor, _ACCESS),
    "mark_accessed": (descriptor.mark_accessed, _STATE),
    "push_frame": (frame.push_frame, _ACCESS),
    "pop_frame": (frame.pop_frame, _ACCESS),
    "inner_stack": (frame.inner_stack, types.int64(types.voidptr, types.int64)),
    "deliver": (deliver.deliver, _STATE),
    "enter_real": (enter.enter_real, _STATE),
    "enter_legacy": (enter.enter_legacy, _STATE),
    "enter_long": (enter.enter_long, _STATE),
    "load_segment": (segload.load_segment, _STATE),
    "load_system": (segload.load_system, _STATE),
    "far_jump": (far.far_jump, _STATE),
    "far_call": (far.far_call, _STATE),
    "far_return": (far.far_return, _STATE),
    "iret": (interrupt_return.iret, _STATE),
    "iret_long": (interrupt_return.iret_long, _STATE),
    "iret_vm86": (interrupt_return.iret_vm86, _STATE),
    "write_cr": (control_registers.write_cr, _STATE),
    "write_dr": (control_registers.write_dr, _STATE),
    "read_msr": (msr.read_msr, _STATE),
    "write_msr": (msr.write_msr, _STATE),
    "fast_call": (fastcall.fast_call, _STATE),
    "switch_task": (task.switch_task, _ACCESS),
    "task_switch": (task.task_switch, _STATE),
    "task_interrupt": (task.task_interrupt, _STATE),
    "task_return": (task.task_return, _STATE),
    "gate_call": (gate.gate_call, _STATE),
    "inspect": (inspect.inspect, _STATE),
    "matching_breakpoints": (watch.matching_breakpoints,
                             types.int64(types.voidptr, types.int64, types.int64, types.int64)),
    "io_bitmap": (io.io_bitmap, _ACCESS),
    "fast_return": (fastcall.fast_return, _STATE),
    **x87.FUNCTIONS,
}
