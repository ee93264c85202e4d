"""Random encodings of a wanted instruction form: bytes are put together from the opcode table's facts and kept when the
decoder reads them as that form, so redundant prefixes and unusual ModRM bytes occur as in real code."""

from __future__ import annotations

from random import Random

from iced_x86 import (
    Code,
    ConstantOffsets,
    Decoder,
    EncodingKind,
    Instruction,
    MandatoryPrefix,
    OpCodeInfo,
    OpCodeOperandKind,
    OpCodeTableKind,
)

TRIES = 2000
_TABLE = {OpCodeTableKind.NORMAL: b"", OpCodeTableKind.T0F: b"\x0f", OpCodeTableKind.T0F38: b"\x0f\x38",
          OpCodeTableKind.T0F3A: b"\x0f\x3a"}
_VEX_MAP = {OpCodeTableKind.T0F: 1, OpCodeTableKind.T0F38: 2, OpCodeTableKind.T0F3A: 3}
_EVEX_MAP = _VEX_MAP | {OpCodeTableKind.MAP5: 5, OpCodeTableKind.MAP6: 6}
_MANDATORY = {MandatoryPrefix.P66: 0x66, MandatoryPrefix.PF3: 0xF3, MandatoryPrefix.PF2: 0xF2}
_VEX_PP = {MandatoryPrefix.P66: 1, MandatoryPrefix.PF3: 2, MandatoryPrefix.PF2: 3}
_SEGMENTS = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
_IN_OPCODE = {OpCodeOperandKind.R8_OPCODE, OpCodeOperandKind.R16_OPCODE, OpCodeOperandKind.R32_OPCODE,
              OpCodeOperandKind.R64_OPCODE, OpCodeOperandKind.STI_OPCODE}
ADDRESS_SIZE = 0x67


class Encoded:
    """An instruction's bytes with what the decoder says of them. `ip` 0 stands for its own address."""

    def __init__(self, data: bytes, insn: Instruction, offsets: ConstantOffsets) -> None:
        self.data, self.insn, self.offsets = data, insn, offsets

    def with_displacement(self, value: int) -> Encoded:
        """The same with another displacement; `value` must fit its size."""
        at, size = self.offsets.displacement_offset, self.offsets.displacement_size
        data = bytearray(self.data)
        data[at:at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        found = decode(bytes(data), 64 if self.insn.code_size == 3 else 32)
        assert found is not None
        return found


def decode(data: bytes, bits: int) -> Encoded | None:
    """The instruction at the start of the bytes, or None where there is none."""
    decoder = Decoder(bits, data, ip=0)
    insn = decoder.decode()
    if insn.code == Code.INVALID:
        return None
    return Encoded(data[:insn.len], insn, decoder.get_constant_offsets(insn))


def available(code: int, bits: int) -> bool:
    """Whether Intel's processors have the form in code of that size, and as one instruction."""
    info = OpCodeInfo(code)
    if info.fwait or info.decoder_option:
        return False
    return info.intel_decoder64 if bits == 64 else info.intel_decoder32


def random_encoding(code: int, bits: int, rng: Random) -> Encoded | None:
    """Random bytes that decode as the form, or None if none were found."""
    info = OpCodeInfo(code)
    for _ in range(TRIES if available(code, bits) else 0):
        found = decode(_attempt(info, bits, rng), bits)
        if found is not None and found.insn.code == code:
            return found
    return None


def _tail(info: OpCodeInfo, bits: int, rng: Random) -> bytes:
    """Opcode, ModRM, SIB, displacement and immediate; what is not needed is cut off by decoding."""
    opcode = info.op_code
    length = info.op_code_len
    if any(kind in _IN_OPCODE for kind in info.op_kinds()):
        opcode |= rng.randrange(8)
    modrm = rng.randrange(256)
    if rng.random() < 0.4:
        modrm |= 0xC0
    if info.group_index >= 0:
        modrm = modrm & 0xC7 | info.group_index << 3
    if info.rm_group_index >= 0:
        modrm = modrm & 0xF8 | info.rm_group_index
    rest = bytes(rng.choice((rng.randrange(256), 0, 0xFF, 0x7F, 0x80, 1, 3, 0x1F)) for _ in range(12))
    return opcode.to_bytes(length, "big") + bytes((modrm,)) + rest


def _legacy(info: OpCodeInfo, bits: int, rng: Random) -> bytes:
    prefixes = []
    if info.mandatory_prefix in _MANDATORY:
        prefixes.append(_MANDATORY[info.mandatory_prefix])
    if info.mandatory_prefix != MandatoryPrefix.P66 and rng.random() < (0.5 if info.operand_size == 16 else 0.3):
        prefixes.append(0x66)
    if rng.random() < 0.1:
        prefixes.append(ADDRESS_SIZE)
    if rng.random() < 0.15:
        prefixes.append(rng.choice(_SEGMENTS))
    if rng.random() < (0.5 if info.can_use_rep_prefix or info.can_use_repne_prefix else 0.04):
        prefixes.append(rng.choice((0xF3, 0xF2)))       # ignored by most that cannot use it
    if info.can_use_lock_prefix and rng.random() < 0.2:
        prefixes.append(0xF0)
    if prefixes and rng.random() < 0.1:
        prefixes.append(rng.choice(prefixes))           # redundant
    rng.shuffle(prefixes)
    if bits == 64 and prefixes and rng.random() < 0.05:
        prefixes.insert(rng.randrange(len(prefixes)), 0x40 | rng.randrange(16))     # ignored: not the last prefix
    rex = bytes((0x40 | rng.randrange(16),)) if bits == 64 and rng.random() < 0.6 else b""
    return bytes(prefixes) + rex + _TABLE[info.table] + _tail(info, bits, rng)


def _vex(info: OpCodeInfo, bits: int, rng: Random) -> bytes:
    high = rng.randrange(8) << 5 if bits == 64 else 0xE0
    second = high | _VEX_MAP[info.table]
    vvvv = rng.choice((15, rng.randrange(16)))          # 15 where there is no such operand
    third = rng.randrange(2) << 7 | vvvv << 3 | info.l << 2 | _VEX_PP.get(info.mandatory_prefix, 0)
    if bits == 32:
        third |= 0x40
    segment = bytes((rng.choice(_SEGMENTS),)) if rng.random() < 0.1 else b""
    return segment + bytes((0xC4, second, third)) + _tail(info, bits, rng)


def _evex(info: OpCodeInfo, bits: int, rng: Random) -> bytes:
    """SDM Vol. 2A table 2-30. Bits that select registers are inverted, so all ones where there is no register."""
    first = _EVEX_MAP[info.table] | (rng.getrandbits(4) << 4 if bits == 64 else 0xF0)
    vvvv = rng.choice((15, rng.randrange(16)))
    second = rng.getrandbits(1) << 7 | vvvv << 3 | 4 | _VEX_PP.get(info.mandatory_prefix, 0)
    mask = 0
    if info.require_op_mask_register or info.can_use_op_mask_register and rng.random() < 0.7:
        mask = rng.randrange(1, 8)
    zeroing = info.can_use_zeroing_masking and mask and rng.random() < 0.5
    broadcast = (info.can_broadcast or info.can_use_rounding_control or info.can_suppress_all_exceptions) and \
        rng.random() < 0.5
    length = rng.randrange(4) if broadcast else info.l
    high = rng.choice((1, rng.getrandbits(1))) if bits == 64 else 1
    third = (0x80 if zeroing else 0) | length << 5 | (0x10 if broadcast else 0) | high << 3 | mask
    segment = bytes((rng.choice(_SEGMENTS),)) if rng.random() < 0.1 else b""
    return segment + bytes((0x62, first, second, third)) + _tail(info, bits, rng)


def _attempt(info: OpCodeInfo, bits: int, rng: Random) -> bytes:
    if info.encoding == EncodingKind.EVEX:
        return _evex(info, bits, rng)
    return _vex(info, bits, rng) if info.encoding == EncodingKind.VEX else _legacy(info, bits, rng)
