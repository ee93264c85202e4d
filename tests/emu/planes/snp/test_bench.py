"""What a switch of VMPLs costs. Run with -s -m bench."""
import struct
import time

import pytest

from tests.emu.planes.snp.guest import CODE, GHCB_MSR, VMGEXIT, WRMSR, Guest

ROUND_TRIPS, INSTRUCTIONS = 200_000, 10


def asks_for(vmpl):
    """Code that asks for a VMPL by the MSR protocol, for ever."""
    request = b"\xb8" + struct.pack("<I", 0x016) + b"\xba" + struct.pack("<I", vmpl) + WRMSR + VMGEXIT
    return b"\xb9" + struct.pack("<I", GHCB_MSR) + request + b"\xeb" + struct.pack("b", -len(request) - 2)


@pytest.mark.bench
def test_a_round_trip_costs_under_300_ns():
    """VMPL0 to VMPL2 and back: two WRMSR, two VMGEXIT, two VMSAs saved and two loaded."""
    guest = Guest("auto")
    guest.add_vmpl(2)
    guest.put(asks_for(2))
    guest.put(asks_for(0), CODE + 0x2000)
    guest.run(200_000)
    before, started = guest.vcpu.group.switches, time.process_time()
    guest.run(ROUND_TRIPS * INSTRUCTIONS)
    round_trips = (guest.vcpu.group.switches - before) / 2
    each = (time.process_time() - started) / round_trips * 1e9
    print(f"{each:.0f} ns a round trip")
    assert round_trips >= ROUND_TRIPS - 1 and each < 300
