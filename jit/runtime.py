"""The compiled functions that are not micro-ops: name -> (function, signature)."""

from numba import types

from jit import deliver, region_access, run, slow, tlb, vector_access

_ACCESS = types.int64(types.voidptr, types.int64, types.int64)
_VECTOR_ACCESS = types.int64(types.voidptr, types.int64, types.int64, types.int64)
_STATE = types.int64(types.voidptr)

FUNCTIONS = {
    "translate": (tlb.translate, types.int64(types.voidptr, types.int64, types.int64, types.int64)),
    "slow_load": (slow.slow_load, _ACCESS),
    "slow_store": (slow.slow_store, _ACCESS),
    "slow_probe": (slow.slow_probe, _ACCESS),
    "jump_cached": (run.jump_cached, _STATE),
    "fall_through": (run.fall_through, types.void(types.voidptr, types.int64)),
    "run": (run.run, _STATE),
    "withdraw_writes": (tlb.withdraw_writes, types.int64(types.voidptr, types.int64)),
    "flush_all": (tlb.flush_all_translations, _STATE),
    "region_fill": (region_access.region_fill, types.int64(types.int64, types.int64, types.int64)),
    "region_load": (region_access.region_load, _ACCESS),
    "region_store": (region_access.region_store, _ACCESS),
    "region_probe": (region_access.region_probe, _ACCESS),
    "slow_loadv": (vector_access.slow_loadv, _VECTOR_ACCESS),
    "slow_storev": (vector_access.slow_storev, _VECTOR_ACCESS),
    "region_loadv": (vector_access.region_loadv, _VECTOR_ACCESS),
    "region_storev": (vector_access.region_storev, _VECTOR_ACCESS),
    "deliver": (deliver.deliver, _STATE),
}
