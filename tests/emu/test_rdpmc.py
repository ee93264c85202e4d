"""RDPMC reads what WRMSR wrote to a performance counter (APM Vol. 3 RDPMC)."""

import pytest

from emu.machine import Machine
from jit import layout

# mov ecx, 0xc0010006; mov eax, 0x12345678; mov edx, 0x9a; wrmsr; mov ecx, N; rdpmc; hlt
WRITE = "b9060001c0 b878563412 ba9a000000 0f30"


@pytest.mark.parametrize("cpu, counter, faults", [("max", 2, False), ("max", 4, True), ("Skylake-Server", 2, True)])
def test_counters_are_those_of_the_msrs(tmp_path, cpu, counter, faults):
    code = f"{WRITE} b9{counter:02x}000000 0f33 f4"
    (tmp_path / "code").write_bytes(bytes.fromhex(code.replace(" ", "")))
    machine = Machine(memory=1 << 20, engine="interp", cpu=cpu)
    machine.load(str(tmp_path / "code"), load_address=0x8000, mode=64)
    stop = machine.run(max_insns=7)
    plane = machine.vcpus[0].plane
    if faults:
        assert stop.reason == "triple-fault" and "vector 13" in stop.message
    else:
        assert (plane.get(layout.gpr(0)), plane.get(layout.gpr(2))) == (0x12345678, 0x9A)
