"""The x87 runtime functions for jit/runtime.py: name -> (function, signature).

Those named `pure_...` take the address of the FPU file and values, so that compiled regions may call them; those named
`fpu_...` take the state.
"""

from numba import types

from jit.x87 import (
    arctangent,
    binary,
    compare,
    environment,
    exchange,
    exponential,
    logarithm,
    pop,
    push,
    remainder,
    scale,
    trigonometry,
    unary,
)

_WORKERS = (
    binary.x87_add, binary.x87_multiply, binary.x87_divide, compare.x87_compare, unary.x87_sqrt, unary.x87_round,
    unary.x87_sign, unary.x87_examine, scale.x87_scale, scale.x87_extract, remainder.x87_remainder, push.x87_push,
    push.x87_push_extended, push.x87_push_register, push.x87_push_constant, pop.x87_push_decimal,
    pop.x87_store_register, exchange.x87_exchange, exchange.x87_move, exponential.x87_exp2m1, logarithm.x87_log2,
    trigonometry.x87_sine, trigonometry.x87_tangent, arctangent.x87_arctangent,
)
_STORES = (pop.x87_narrow, pop.x87_stored)
_ENVIRONMENT = (environment.fpu_store_environment, environment.fpu_load_environment)

_WORKER = types.int64(types.int64, types.int64, types.int64)
_STORE = types.int64(types.int64, types.int64)
_STATE = types.int64(types.voidptr, types.int64, types.int64)

FUNCTIONS = {
    **{"pure_" + f.__name__: (f, _WORKER) for f in _WORKERS},
    **{"pure_" + f.__name__: (f, _STORE) for f in _STORES},
    **{f.__name__: (f, _STATE) for f in _ENVIRONMENT},
}
