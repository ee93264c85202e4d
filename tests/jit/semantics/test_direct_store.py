"""MOVDIRI and MOVDIR64B (SDM Vol. 2B), CLZERO (APM Vol. 3)."""
import pytest

from tests.jit.rig import Rig

FROM, TO = 0x40004, 0x41000
PATTERN = bytes(range(1, 65))


def make(mode="long"):
    rig = Rig(mode)
    rig.memory.write(FROM, PATTERN)
    rig.set("rbx", FROM)
    rig.set("rax", TO)
    return rig


@pytest.mark.parametrize("mode, code", [("long", "660f38f803"), ("long", "67660f38f803"), ("pm32", "660f38f803")])
def test_a_line_is_copied_from_any_address(mode, code):
    rig = make(mode)
    if code.startswith("67"):
        rig.set("rax", 0xFFFF_FFFF_0000_0000 | TO)
        rig.set("rbx", 0xFFFF_FFFF_0000_0000 | FROM)
    rig.step(code)
    assert rig.memory.read(TO - 1, 66) == b"\0" + PATTERN + b"\0"


def test_the_destination_is_in_es_whatever_the_prefix():
    rig = make("pm32")
    rig.set("es.base", 0x1000)
    rig.set("fs.base", 0x10)
    rig.set("rbx", FROM - 0x10)
    rig.step("64660f38f803")
    assert rig.memory.read(TO + 0x1000, 64) == PATTERN


@pytest.mark.parametrize("page, target, vector", [(None, TO + 32, 13), (FROM, TO, 14), (TO, TO, 14)])
def test_faults_change_nothing(page, target, vector):
    rig = make()
    rig.set("rax", target)
    if page:
        rig.protect(page, 0 if page == FROM else 5)
        rig.set("cr0", rig.get("cr0") | 1 << 16)
        rig.plane.update_mode()
    rig.run("660f38f803", 1)
    assert rig.vector() == vector and rig.memory.read(TO, 128) == bytes(128)


@pytest.mark.parametrize("code, size", [("0f38f903", 4), ("480f38f903", 8)])
def test_movdiri_stores_a_register(code, size):
    rig = make()
    rig.set("rax", 0x1122_3344_5566_7788)
    rig.step(code)
    assert rig.memory.read(FROM, 9) == (0x1122_3344_5566_7788).to_bytes(8, "little")[:size] + PATTERN[size:9]


@pytest.mark.parametrize("mode, code", [("long", "0f01fc"), ("long", "670f01fc"), ("pm32", "0f01fc"),
                                        ("pm32", "670f01fc"), ("real", "0f01fc")])
def test_clzero_clears_the_line_of_any_address_in_it(mode, code):
    rig = Rig(mode)
    at = 0x8040
    rig.memory.write(at - 64, b"\xFF" * 192)
    rig.set("rax", at + 37 | (0xFFFF_FFFF_0000_0000 if code.startswith("67") and mode == "long" else 0))
    rig.step(code)
    assert rig.memory.read(at - 64, 192) == b"\xFF" * 64 + bytes(64) + b"\xFF" * 64


def test_clzero_obeys_segment_overrides():
    rig = Rig("pm32")
    rig.set("fs.base", 0x1000)
    rig.memory.write(0x9000, b"\xFF" * 128)
    rig.set("rax", 0x8001)
    rig.step("640f01fc")
    assert rig.memory.read(0x9000, 128) == bytes(64) + b"\xFF" * 64


def test_clzero_needs_a_writable_page():
    rig = make()
    rig.memory.write(TO, PATTERN)
    rig.protect(TO, 5)
    rig.set("cr0", rig.get("cr0") | 1 << 16)
    rig.plane.update_mode()
    rig.run("0f01fc", 1)
    assert rig.vector() == 14 and rig.memory.read(TO, 64) == PATTERN
