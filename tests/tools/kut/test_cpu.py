"""QEMU's -cpu as Strata's --cpu."""

import pytest

from emu.isa.cpu import parse
from tools.kut.config import Test
from tools.kut.cpu import cpu_option, wants_hyperv
from tools.kut.execute import command


@pytest.mark.parametrize("text, option, left_out", [
    (None, "qemu64", []), ("max", "max", []), ("host", "max", ["host"]),
    ("qemu64,+x2apic,-smap", "qemu64,+x2apic,-smap", []),
    ("max,host-phys-bits", "max", ["host-phys-bits"]), ("max,+vmx", "max", ["+vmx"]),
    ("max,vendor=GenuineIntel", "max,vendor=GenuineIntel", []), ("Nehalem", "max", ["Nehalem"]),
    ("qemu64,+tsc-deadline", "qemu64,+tsc-deadline", [])])
def test_what_is_kept_can_be_used(text: str | None, option: str, left_out: list[str]) -> None:
    assert cpu_option(text) == (option, left_out)
    parse(option)


def test_hyperv_features_choose_the_hypervisor():
    assert wants_hyperv("host,hv_passthrough") and wants_hyperv("qemu64,+hv-synic")
    assert not wants_hyperv("host,+x2apic") and not wants_hyperv("max") and not wants_hyperv(None)


def test_the_command_offers_hyperv_or_kvm():
    test = Test("t", "t.flat", cpu="host,hv_passthrough")
    assert "--planes" in command(test, 10, "r.json", "auto")
    assert "--paravirt" in command(Test("t", "t.flat"), 10, "r.json", "auto")


def test_the_command_plugs_devices_in():
    words = command(Test("t", "t.flat", devices=("intel-iommu", "edu")), 10, "r.json", "auto")
    assert [words[n + 1] for n, word in enumerate(words) if word == "--device"] == ["intel-iommu", "edu"]
