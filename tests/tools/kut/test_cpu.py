"""QEMU's -cpu as Strata's --cpu."""

import pytest

from emu.isa.cpu import parse
from tools.kut.cpu import cpu_option


@pytest.mark.parametrize("text, option, left_out", [
    (None, "qemu64", []), ("max", "max", []), ("host", "max", ["host"]),
    ("qemu64,+x2apic,-smap", "qemu64,+x2apic,-smap", []),
    ("max,host-phys-bits", "max", ["host-phys-bits"]), ("max,+vmx", "max", ["+vmx"]),
    ("max,vendor=GenuineIntel", "max,vendor=GenuineIntel", []), ("Nehalem", "max", ["Nehalem"]),
    ("qemu64,+tsc-deadline", "qemu64,+tsc-deadline", [])])
def test_what_is_kept_can_be_used(text: str | None, option: str, left_out: list[str]) -> None:
    assert cpu_option(text) == (option, left_out)
    parse(option)
