"""Watchpoints on pages that a hot loop uses: what touches them is seen, what only comes near is not."""
import pytest

from emu.stop import BREAKPOINT
from tests.emu.debug.guests import END, machine

DATA = 0x20000
ROUNDS = 40_000
ENGINES = ("interp", "blocks", "auto")
# mov rax, cr4; or eax, 0x600 (for SSE); mov cr4, rax; xor eax, eax; mov edi, DATA; mov ecx, ROUNDS; again: inc rax;
# mov [rdi+0x100], rax; add rbx, [rdi+0x100]; add dword [rdi+0x140], 1;
# mov [rdi+0x17c], rax; movdqu xmm0, [rdi+0x1b8]; movdqu [rdi+0x1f8], xmm0; dec ecx; jnz again
PROLOGUE = bytes.fromhex("0f20e0" "0d00060000" "0f22e0" "31c0" "bf00000200" "b9") + ROUNDS.to_bytes(4, "little")
LOOP = PROLOGUE + bytes.fromhex(
    "48ffc0" "48898700010000" "48039f00010000" "83874001000001" "4889877c010000" "f30f6f87b8010000" "f30f7f87f8010000"
    "ffc9" "75cd")
NEAR = [(0x108, 8), (0xF8, 8), (0x144, 4), (0x13C, 4), (0x184, 1), (0x17B, 1), (0x1C8, 8), (0x1B7, 1), (0x208, 1),
        (0x1F4, 4), (0x300, 256)]
TOUCHED = [(0x100, 1, "w"), (0x107, 1, "w"), (0x100, 8, "r"), (0x143, 1, "r"), (0x140, 2, "w"), (0x17C, 1, "w"),
           (0x180, 4, "w"), (0x183, 1, "w"), (0x1B8, 1, "r"), (0x1C0, 1, "r"), (0x1C7, 1, "r"), (0x1F8, 1, "w"),
           (0x200, 1, "w"), (0x207, 1, "w")]


def hot(m):
    """Run until the loop is compiled."""
    m.run(max_insns=5_000)
    for _ in range(100):
        m.run(max_insns=500)
        if not m.engine.regions.busy:
            return


@pytest.fixture(params=ENGINES)
def loop(request, tmp_path):
    with machine(LOOP + END, tmp_path / "loop.bin", engine=request.param) as m:
        yield m


def check(m):
    """The guest's sums are right."""
    assert m.vcpu[0].regs.rax == ROUNDS & ~0xFF      # AL is END's
    assert m.vcpu[0].regs.rbx == ROUNDS * (ROUNDS + 1) // 2
    assert int.from_bytes(m.physical[DATA + 0x140:DATA + 0x144], "little") == ROUNDS


def test_what_only_comes_near_ends_nothing_and_loses_nothing(loop):
    found = [loop.watch(DATA + at, size, "rw") for at, size in NEAR]
    hot(loop)
    assert loop.run().reason == "exit"
    assert [each.hits for each in found] == [0] * len(NEAR)
    check(loop)


def test_what_touches_is_seen_each_time(loop):
    hot(loop)
    for at, size, access in TOUCHED:
        with loop.watch(DATA + at, size, access) as found:
            for n in range(2):
                stop = loop.run()
                assert stop.reason == BREAKPOINT and found.hits == n + 1
                (event,) = stop.events
                assert event.linear < DATA + at + size and DATA + at < event.linear + event.size
    assert loop.run().reason == "exit"
    check(loop)


def test_a_physical_watchpoint_is_seen_too(loop):
    hot(loop)
    with loop.watch(physical=DATA + 0x180, size=1, access="w"):
        assert loop.run().reason == BREAKPOINT
    with loop.watch(physical=DATA + 0x188, size=8, access="rw"):
        assert loop.run().reason == "exit"
    check(loop)
