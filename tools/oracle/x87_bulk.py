"""Compares the x87 arithmetic of jit/x87 with the host's FPU on millions of cases, without the engine around it.

    strata oracle --family x87-bulk [--count N] [--seed N] [--only NAME ...]

A line for each instruction: cases, differences, and of transcendental ones results that differ by a unit in the last
place. C1 is not compared for those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from jit.fpu_layout import FCW, FPU_BYTES, FSW, FTW, ST
from jit.linkable import linkable
from jit.native import ld8, ld16, ld32, ld64, st8, st16, st32, st64
from jit.x87 import (
    arctangent,
    binary,
    compare,
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
from jit.x87 import sources as how
from tools.oracle import x87_values
from tools.oracle.x87_native import IMAGE, OPERAND, NativeX87

C1 = 0x200
FLOAT, INTEGER, EXTENDED = "float", "integer", "extended"


class Row(NamedTuple):
    """An instruction (with its memory operand at [rcx]), the function that implements it and its control word.
    `size`: bytes of the memory operand; `kind`: what lies there; `stores`: it is written; `close`: within one ulp."""

    name: str
    code: str
    function: Callable[..., Any]
    control: int
    size: int = 0
    kind: str = ""
    stores: bool = False
    close: bool = False


def _from(source: int) -> int:
    return source << how.FROM_SHIFT


ROWS = (
    Row("fadd st0,st1", "d8c1", binary.x87_add, 1 << 3),
    Row("fsubp st1,st0", "dee9", binary.x87_add, 1 | 1 << 6 | how.VARIANT),
    Row("fsubrp st1,st0", "dee1", binary.x87_add, 1 | 1 << 6 | how.VARIANT | how.SWAP),
    Row("fadd m32", "d801", binary.x87_add, _from(how.FROM_F32), 4, FLOAT),
    Row("fsubr m64", "dc29", binary.x87_add, _from(how.FROM_F64) | how.VARIANT | how.SWAP, 8, FLOAT),
    Row("fiadd m16", "de01", binary.x87_add, _from(how.FROM_I16), 2, INTEGER),
    Row("fmul st0,st1", "d8c9", binary.x87_multiply, 1 << 3),
    Row("fimul m32", "da09", binary.x87_multiply, _from(how.FROM_I32), 4, INTEGER),
    Row("fdiv st0,st1", "d8f1", binary.x87_divide, 1 << 3),
    Row("fdivr m32", "d839", binary.x87_divide, _from(how.FROM_F32) | how.SWAP, 4, FLOAT),
    Row("fdiv m64", "dc31", binary.x87_divide, _from(how.FROM_F64), 8, FLOAT),
    Row("fcom st1", "d8d1", compare.x87_compare, 1 << 3),
    Row("fucompp", "dae9", compare.x87_compare, 1 << 3 | 2 << 6 | how.VARIANT),
    Row("fcomp m32", "d819", compare.x87_compare, 1 << 6 | _from(how.FROM_F32), 4, FLOAT),
    Row("ftst", "d9e4", compare.x87_compare, _from(how.FROM_ZERO)),
    Row("fsqrt", "d9fa", unary.x87_sqrt, 0),
    Row("frndint", "d9fc", unary.x87_round, 0),
    Row("fxam", "d9e5", unary.x87_examine, 0),
    Row("fscale", "d9fd", scale.x87_scale, 0),
    Row("fxtract", "d9f4", scale.x87_extract, 0),
    Row("fprem", "d9f8", remainder.x87_remainder, 0),
    Row("fprem1", "d9f5", remainder.x87_remainder, 1),
    Row("fxch st3", "d9cb", exchange.x87_exchange, 3),
    Row("fld st3", "d9c3", push.x87_push_register, 3),
    Row("fld m32", "d901", push.x87_push, _from(how.FROM_F32), 4, FLOAT),
    Row("fld m64", "dd01", push.x87_push, _from(how.FROM_F64), 8, FLOAT),
    Row("fild m64", "df29", push.x87_push, _from(how.FROM_I64), 8, INTEGER),
    Row("fldpi", "d9eb", push.x87_push_constant, push.PI),
    Row("fstp st3", "dddb", pop.x87_store_register, 3 | 1 << 6),
    Row("fst m32", "d911", pop.x87_narrow, _from(how.TO_F32), 4, stores=True),
    Row("fstp m64", "dd19", pop.x87_narrow, _from(how.TO_F64) | 1 << 6, 8, stores=True),
    Row("fstp m80", "db39", pop.x87_narrow, _from(how.TO_F80) | 1 << 6, 10, stores=True),
    Row("fist m16", "df11", pop.x87_narrow, _from(how.TO_I16), 2, stores=True),
    Row("fistp m32", "db19", pop.x87_narrow, _from(how.TO_I32) | 1 << 6, 4, stores=True),
    Row("fistp m64", "df39", pop.x87_narrow, _from(how.TO_I64) | 1 << 6, 8, stores=True),
    Row("fisttp m64", "dd09", pop.x87_narrow, _from(how.TO_I64) | 1 << 6 | how.TRUNCATE, 8, stores=True),
    Row("fbstp", "df31", pop.x87_narrow, _from(how.TO_DECIMAL) | 1 << 6, 10, stores=True),
    Row("f2xm1", "d9f0", exponential.x87_exp2m1, 0, close=True),
    Row("fyl2x", "d9f1", logarithm.x87_log2, 0, close=True),
    Row("fyl2xp1", "d9f9", logarithm.x87_log2, 1, close=True),
    Row("fpatan", "d9f3", arctangent.x87_arctangent, 0, close=True),
    Row("fptan", "d9f2", trigonometry.x87_tangent, 0, close=True),
    Row("fsin", "d9fe", trigonometry.x87_sine, how.SINE, close=True),
    Row("fcos", "d9ff", trigonometry.x87_sine, how.COSINE, close=True),
    Row("fsincos", "d9fb", trigonometry.x87_sine, how.SINE | how.COSINE, close=True),
)


@njit
def _load_file(f: int, image: int) -> None:
    st16(f + FCW, ld16(image))
    fsw = ld16(image + 2)
    st16(f + FSW, fsw)
    st8(f + FTW, ld8(image + 4))
    for i in range(8):
        register = f + ST + ((((fsw >> 11) + i) & 7) << 4)
        st64(register, ld64(image + 32 + 16 * i))
        st16(register + 8, ld16(image + 40 + 16 * i))


@njit
def _save_file(f: int, image: int) -> None:
    fsw = ld16(f + FSW)
    st16(image, ld16(f + FCW))
    st16(image + 2, fsw)
    st8(image + 4, ld8(f + FTW))
    for i in range(8):
        register = f + ST + ((((fsw >> 11) + i) & 7) << 4)
        st64(image + 32 + 16 * i, ld64(register))
        st16(image + 40 + 16 * i, ld16(register + 8))


def _reader(row: Row) -> Callable[..., None]:
    """A loop over cases of an instruction that reads its operand, if it has one."""
    function, control, size = linkable(row.function), row.control, row.size

    def loop(f: int, images: int, operands: int, count: int) -> None:
        for i in range(count):
            _load_file(f, images + IMAGE * i)
            at = operands + OPERAND * i
            raw = 0
            if size == 2:
                raw = ld16(at)
            elif size == 4:
                raw = ld32(at)
            elif size == 8:
                raw = ld64(at)
            function(f, control, raw)
            _save_file(f, images + IMAGE * i)
    return njit(loop)


def _writer(row: Row) -> Callable[..., None]:
    """The same of an instruction that stores."""
    narrow, stored = (linkable(f) for f in (row.function, pop.x87_stored))
    control, size = row.control, row.size

    def loop(f: int, images: int, operands: int, count: int) -> None:
        for i in range(count):
            _load_file(f, images + IMAGE * i)
            at = operands + OPERAND * i
            if narrow(f, control) != 0:
                low = ld64(f + pop.OUT_LOW)
                if size == 2:
                    st16(at, low)
                elif size == 4:
                    st32(at, low)
                else:
                    st64(at, low)
                if size == 10:
                    st16(at + 8, ld64(f + pop.OUT_HIGH))
            stored(f, control)
            _save_file(f, images + IMAGE * i)
    return njit(loop)


def _operands(rng: np.random.Generator, count: int, row: Row) -> np.ndarray:
    memory = np.zeros((count, OPERAND), np.uint8)
    if row.kind == FLOAT:
        fraction, bits = (23, 8) if row.size == 4 else (52, 11)
        special = rng.choice(np.array([0, 1, (1 << bits) - 2, (1 << bits) - 1, (1 << bits - 1) - 1], np.uint64), count)
        exponent = np.where(rng.integers(0, 2, count) == 0, special, rng.integers(0, 1 << bits, count, np.uint64))
        significand = x87_values.significands(rng, count) << np.uint64(1) >> np.uint64(64 - fraction)
        sign = rng.integers(0, 2, count, np.uint64)
        memory.view(np.uint64)[:, 0] = significand | (exponent | sign << np.uint64(bits)) << np.uint64(fraction)
    elif row.kind == INTEGER:
        memory.view(np.uint64)[:, 0] = x87_values.significands(rng, count) >> rng.integers(0, 64, count, np.uint64)
    return memory


def _distance(host: np.ndarray, mine: np.ndarray, i: int) -> np.ndarray:
    """Units in the last place between ST(i) of both sides, 2 standing for more."""
    a, b = (image[:, 32 + 16 * i:40 + 16 * i].copy().view(np.uint64)[:, 0] for image in (host, mine))
    x, y = (image.view(np.uint16)[:, 20 + 8 * i].astype(np.int64) for image in (host, mine))
    x, y = (np.where(v & 0x7FFF == 0, v + 1, v) for v in (x, y))     # denormals have the scale of exponent 1
    gap = np.where(a > b, a - b, b - a)
    top = np.uint64(1 << 63)
    across = (np.abs(x - y) == 1) & ((a == top) & (b == ~np.uint64(0)) | (b == top) & (a == ~np.uint64(0)))
    return np.where(x == y, np.minimum(gap, np.uint64(2)), np.where(across, 1, 2)).astype(np.int64)


def check(row: Row, count: int, seed: int) -> tuple[int, int]:
    """(differences, results off by a unit in the last place where that is allowed)."""
    rng = np.random.default_rng(seed)
    images, operands = x87_values.images(rng, count), _operands(rng, count, row)
    host_memory, memory, mine = operands.copy(), operands.copy(), images.copy()
    host, _ = NativeX87(bytes.fromhex(row.code)).run(images, host_memory)
    file = np.zeros(FPU_BYTES, np.uint8)
    (_writer if row.stores else _reader)(row)(file.ctypes.data, mine.ctypes.data, memory.ctypes.data, count)
    words, other = host.view(np.uint16)[:, :3].copy(), mine.view(np.uint16)[:, :3].copy()
    if row.close:
        words[:, 1] &= ~np.uint16(C1)
        other[:, 1] &= ~np.uint16(C1)
    bad = (words != other).any(1) | (host_memory != memory).any(1)
    off = np.zeros(count, bool)
    for i in range(8):
        distance = _distance(host, mine, i)
        bad |= distance > (1 if row.close else 0)
        off |= distance == 1
    return int(bad.sum()), int(off.sum())


def compare_all(count: int, seed: int, only: Sequence[str]) -> list[dict[str, Any]]:
    """Compare `count` cases in all of the instructions whose names have one of `only` in them, or of all. Print a line
    for each; gives what it says, as JSON objects."""
    rows = [row for row in ROWS if not only or any(name.lower() in row.name for name in only)]
    each = max(1, count // max(len(rows), 1))
    found = []
    for row in rows:
        bad, off = check(row, each, seed)
        found.append({"name": row.name, "cases": each, "differences": bad, "by one ulp": off})
        print(f"{row.name:16} {each} cases, {bad} differences" + (f", {off} by one ulp" if row.close else ""))
    return found
