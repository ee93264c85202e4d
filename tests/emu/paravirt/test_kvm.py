"""KVM's guest interface (Linux, Documentation/virt/kvm/x86/cpuid.rst and hypercalls.rst)."""

from __future__ import annotations

import pytest

from emu.machine import Machine
from jit import layout

SEND_IPI, VAPIC_POLL_IRQ, KICK_CPU, CLOCK_PAIRING = 10, 1, 5, 9
ENOSYS, EPERM, EINVAL = 1000, 1, 22
RAX, RCX, RDX, RBX, RSI = (layout.gpr(n) for n in (0, 1, 2, 3, 6))
SPURIOUS_ENABLE = 0x1FF


@pytest.fixture
def machine(tmp_path) -> Machine:
    image = tmp_path / "guest.bin"
    image.write_bytes(b"\x0f\x01\xd9\xf4")                      # VMMCALL; HLT
    reports: list[str] = []
    m = Machine(memory=2 << 20, vcpus=2, engine="interp", paravirt="kvm", report=reports.append)
    m.load(str(image), kind="flat", load_address=0x1000, mode=64)
    m.noted = reports  # type: ignore[attr-defined]
    return m


def call(m: Machine, number: int, *arguments: int) -> int:
    """The hypercall's result, signed."""
    plane = m.vcpus[0].plane
    plane.set(RAX, number)
    for register, value in zip((RBX, RCX, RDX, RSI), arguments, strict=False):
        plane.set(register, value)
    assert m.run(timeout=20, max_insns=2).icount == 2
    return plane.signed(RAX)


def test_signature_and_features(machine: Machine) -> None:
    top, *text = machine.vcpus[1].cpuid.read(0x40000000, 0)
    assert b"".join(word.to_bytes(4, "little") for word in text) == b"KVMKVMKVM\0\0\0"
    assert top == 0x40000001
    assert machine.vcpus[1].cpuid.read(0x40000001, 0)[0] >> 11 & 1


def test_poll_gives_zero_and_goes_on_after_the_instruction(machine: Machine) -> None:
    assert call(machine, VAPIC_POLL_IRQ) == 0
    assert machine.vcpus[0].plane.get(layout.RIP) == 0x1004


def test_unknown_calls_give_enosys_and_are_reported(machine: Machine) -> None:
    assert call(machine, CLOCK_PAIRING) == -ENOSYS
    assert any("hypercall 9" in line for line in machine.noted)  # type: ignore[attr-defined]


def test_user_code_is_refused(machine: Machine) -> None:
    machine.vcpus[0].plane.set(layout.CPL, 3)
    interface = machine.paravirt
    assert interface is not None
    plane = machine.vcpus[0].plane
    plane.set(RAX, VAPIC_POLL_IRQ)
    interface.hypercall(machine.vcpus[0], plane)
    assert plane.signed(RAX) == -EPERM


@pytest.mark.parametrize("low, high, first, taken", [
    (0b11, 0, 0, [0, 1]), (0b1, 0, 1, [1]), (0, 1, 0, []), (0xFFFFFFFF, 0, 0xFFFFFFFF, [])])
def test_ipis_go_to_the_apics_of_the_bitmap(machine: Machine, low: int, high: int, first: int,
                                            taken: list[int]) -> None:
    for lapic in machine.pc.lapics:
        lapic.write_register(0xF0, SPURIOUS_ENABLE)
    assert call(machine, SEND_IPI, low, high, first, 0x41) == len(taken)
    assert [n for n, lapic in enumerate(machine.pc.lapics) if lapic.pending_vector() == 0x41] == taken


def test_other_delivery_modes_are_invalid(machine: Machine) -> None:
    assert call(machine, SEND_IPI, 1, 0, 0, 0x500) == -EINVAL


def test_a_kick_ends_a_halt(machine: Machine) -> None:
    machine.vcpus[1].plane.set(layout.ACTIVITY, 1)
    assert call(machine, KICK_CPU, 0, 1) == 0
    assert machine.vcpus[1].plane.get(layout.ACTIVITY) == 0


def test_planes_bring_their_own_interface() -> None:
    with pytest.raises(ValueError, match="paravirt"):
        Machine(memory=1 << 20, planes="vsm", paravirt="kvm")
    with pytest.raises(ValueError, match="paravirt"):
        Machine(memory=1 << 20, paravirt="xen")
