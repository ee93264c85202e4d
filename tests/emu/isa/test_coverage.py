"""Every Code of iced-x86 has a place: implemented, deliberately absent, or still to come; and what is absent is #UD."""
import pytest
from iced_x86 import Code, Decoder, DecoderOptions, Encoder, OpCodeInfo

from emu.isa import absent, coverage, example, extensions
from emu.isa.coverage import Status
from emu.plane import GPR_NAMES
from jit import exits
from tests.jit.rig import STACK_TOP, Rig

HLT, BUFFER = b"\xf4", 0x40000
KNOWN = {name for entry in coverage.table() for name in entry.features}


def encoded(code):
    """(bytes, bits) of an example that the decoder reads back as the same Code, or None."""
    bits = 64 if OpCodeInfo(code).mode64 else 32
    for insn in example.examples(code):
        encoder = Encoder(bits)
        try:
            encoder.encode(insn, 0)
        except ValueError:
            continue
        data = encoder.take_buffer()
        if Decoder(bits, data, DecoderOptions.NONE).decode().code == code:
            return data, bits
    return None


def test_every_instruction_of_the_library_is_classified_once():
    assert [entry.code for entry in coverage.table()] == sorted(
        code for code in example.codes() if OpCodeInfo(code).is_instruction)
    counts = coverage.by_extension()
    assert sum(sum(status.values()) for status in counts.values()) == len(coverage.table())


@pytest.mark.parametrize("name, status", [
    ("ADD_RM32_R32", Status.IMPLEMENTED), ("VMCALL", Status.IMPLEMENTED), ("FINIT", Status.IMPLEMENTED),
    ("VEX_VADDPS_YMM_YMM_YMMM256", Status.IMPLEMENTED), ("VMRUNQ", Status.ABSENT), ("XBEGIN_REL32", Status.ABSENT),
    ("VEX_TILEZERO_TMM", Status.ABSENT), ("BNDMK_BND_M64", Status.ABSENT), ("D3NOW_PFADD_MM_MMM64", Status.ABSENT)])
def test_the_status_of_some_instructions_is_known(name, status):
    assert coverage.classify(getattr(Code, name)).status is status


def test_what_is_absent_names_features_that_exist_and_gives_a_reason():
    assert set(absent.REASON) <= KNOWN
    assert all(entry.reason for entry in coverage.table() if entry.status is Status.ABSENT)


def test_no_extension_is_both_absent_and_offered():
    offered = {name for extension in extensions.TABLE if extension.done for name in extension.iced}
    assert not offered & set(absent.REASON) and offered <= KNOWN


@pytest.mark.parametrize("extension", [e for e in extensions.TABLE if e.done and e.iced], ids=lambda e: e.name)
def test_an_offered_extension_has_every_instruction(extension):
    """Those that need another extension too are that one's business."""
    offered = {name for other in extensions.TABLE if other.done for name in other.iced}
    missing = [entry.name for entry in coverage.table() if entry.status is Status.NOT_YET
               and set(extension.iced) & set(entry.features) and all(
                   name in offered or name not in extensions.BY_FEATURE for name in entry.features)]
    assert not missing


@pytest.mark.parametrize("mode, bits", [("long", 64), ("pm32", 32)])
def test_what_is_absent_raises_undefined_opcode_and_changes_nothing(mode, bits):
    rig = Rig(mode)
    rig.set("cr4", rig.get("cr4") | 0x40600)
    rig.set("xcr0", 0xE7)
    rig.set("rbx", BUFFER)
    rig.plane.update_mode()
    registers = [name for name in GPR_NAMES if name != "rsp"]
    before = {name: rig.get(name) for name in registers}
    tried = 0
    for entry in coverage.table():
        found = encoded(entry.code) if entry.status is Status.ABSENT else None
        if found is None or found[1] != bits:
            continue                    # iced decodes these bytes as something else: test_hints has such
        rig.segment("cs", rig.get("cs"), 0, 0xFFFFFFFF, rig.get("cs.attr"))
        rig.set("rsp", STACK_TOP)
        rig.run(found[0] + HLT, 1)
        assert rig.vector() == 6, entry.name
        assert {name: rig.get(name) for name in registers} == before, entry.name
        tried += 1
    assert tried > (300 if bits == 64 else 10)


@pytest.mark.parametrize("code", ["0f1ac0", "f30f1b03", "f30f1a03", "660f1a03", "f20f1bc1", "0f0d03", "0f1c03",
                                  "f30f1efa", "f30f1efb", "0f1803", "0f1f4000", "f390"])
def test_hints_of_extensions_that_are_absent_do_nothing(code):
    """BNDMOV, BNDMK and the like without MPX (SDM Vol. 1 17.4), PREFETCHW, CLDEMOTE, ENDBR64, PREFETCHNTA, NOP, PAUSE;
    the memory operand is not accessed."""
    rig = Rig("long")
    rig.set("rbx", 0x7FFF_0000_0000)
    before = rig.snapshot()
    length = len(bytes.fromhex(code))
    assert rig.step(code) == exits.EVENT
    assert rig.snapshot() == {**before, "rip": before["rip"] + length}
