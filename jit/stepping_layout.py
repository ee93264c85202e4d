"""A row of jit/stepping.py: byte offsets of its words."""

VCPU_AT, PLANE_AT, RIP_AT, GPRS_AT = 0, 8, 16, 24
FLAGS_AT = GPRS_AT + 8 * 16         # RES, AUX, CARRY, RFL of jit/layout.py
ROW_BYTES = FLAGS_AT + 8 * 4
