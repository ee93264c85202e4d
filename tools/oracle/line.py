"""The line that describes a case, read back: `strata oracle --repro 'LINE'`."""

from __future__ import annotations

import re
import struct

from tools.oracle.arena import CODE, SLOT
from tools.oracle.case import GPR_NAMES, OPMASKS, ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.encode import decode

START = re.compile(r"(?P<bits>32|64)-bit (?P<code>[0-9a-f]+) at=")
POKE = re.compile(r"\[(?P<at>[0-9a-f]+)\]=(?P<data>(?:[0-9a-f]{2})*)")
REGISTER = re.compile(r"(?P<file>zmm|mm|k)(?P<number>\d+)")
WORDS = ("fcw", "fsw", "ftw", "fop", "fip", "fdp")
ST_BYTES, ST_USED = 16, 10


def parse(line: str) -> Case:
    """The case of a line, whatever stands before it. ValueError: it is not such a line; the message says why."""
    start = START.search(line)
    if start is None:
        raise ValueError("no case in the line: it has none of '64-bit CODE at=' and '32-bit CODE at='")
    bits, code = int(start["bits"]), bytes.fromhex(start["code"])
    fields: dict[str, int] = {}
    pokes = []
    for word in line[start.end() - 3:].split():
        if poke := POKE.fullmatch(word):
            pokes.append((int(poke["at"], 16), bytes.fromhex(poke["data"])))
            continue
        name, equals, number = word.partition("=")
        if not equals or not re.fullmatch("[0-9a-f]+", number):
            raise ValueError(f"{word!r} is not NAME=HEXADECIMAL")
        fields[name] = int(number, 16)
    if missing := [name for name in (*GPR_NAMES, "at", "flags", "fs", "gs") if name not in fields]:
        raise ValueError(f"no value for {' '.join(missing)}")
    if decode(code, bits) is None:
        raise ValueError(f"{code.hex()} is no instruction of {bits}-bit code")
    if not CODE.address <= fields["at"] <= CODE.end - SLOT:
        raise ValueError(f"at={fields['at']:x} lies outside {CODE.address:x} to {CODE.end - SLOT:x}")
    vector = _vector(fields) if "mxcsr" in fields else None
    return Case(code, bits, tuple(fields[name] for name in GPR_NAMES), fields["flags"], fields["fs"], fields["gs"],
                tuple(pokes), vector, fields["at"])


def _vector(fields: dict[str, int]) -> VectorState:
    zmm, st = bytearray(ZMM_BYTES * ZMMS), bytearray(8 * ST_BYTES)
    masks = [0] * OPMASKS
    for name, number in fields.items():
        register = REGISTER.fullmatch(name)
        if register is None:
            continue
        file, index = register["file"], int(register["number"])
        if index >= {"zmm": ZMMS, "mm": 8, "k": OPMASKS}[file]:
            raise ValueError(f"there is no register {name}")
        if file == "zmm":
            zmm[ZMM_BYTES * index:ZMM_BYTES * (index + 1)] = number.to_bytes(ZMM_BYTES, "little")
        elif file == "mm":
            st[ST_BYTES * index:ST_BYTES * index + ST_USED] = number.to_bytes(ST_USED, "little")
        else:
            masks[index] = number
    fcw, fsw, ftw, fop, fip, fdp = (fields.get(word, 0) for word in WORDS)
    return VectorState(fields["mxcsr"], bytes(zmm), bytes(st), fcw, fsw, ftw, fop, fip, fdp,
                       struct.pack(f"<{OPMASKS}Q", *masks))
