"""Random hypercalls: whatever the input, the answer is a status of the TLFS, and a refused call has changed nothing.

    python -m tests.emu.planes.vsm.fuzz --calls 1000000 --seed 1

A failure is one line that names the seed and the number of the call.
"""
import argparse
import random
import struct
import sys
from operator import itemgetter

from emu.mem.ram import PAGE
from emu.planes.vsm import codes, stimer
from emu.planes.vsm.hypercall import CALLS
from emu.planes.vsm.vp_registers import ARCHITECTURAL
from emu.planes.vsm.vsm_registers import REGISTERS
from emu.stop import TRIPLE_FAULT
from jit import fpu_layout, layout, pmap
from tests.emu.planes.vsm.guest import (
    HYPERCALL_PAGE,
    INPUT,
    NOP,
    OS_ID,
    OUTPUT,
    PML4,
    RAX,
    SELF,
    VMCALL,
    VP_SELF,
    Guest,
)

STATUSES = {0, 2, 3, 4, 5, 6, 0xB, 0xD, 0xE, 0x10, 0x12, 0x13, 0x15, 0x18, 0x50, 0x51, 0x86}
UNKNOWN = (0x0E, 0x10, 0x7F00, 0x8002, 0xFFFF)
NAMES = [*REGISTERS, *ARCHITECTURAL, 0x77777, 0x90002, 0x90013, 0xA0003, 0xA0013, 0xB0000, 0xB0001]
# Fields of the register file that a hypercall may change: its result, the instruction's end and the engine's own.
GUEST_STATE = [*(layout.gpr(n) for n in range(1, 16)), *range(layout.SEG, layout.PDPTE, 8), layout.RFL,
               layout.FAULT_PENDING, layout.NMI, layout.NMI_BLOCKED, layout.SHADOW, layout.DENIALS, layout.TRAPS]
FLUSHES = (codes.FLUSH_SPACE, codes.FLUSH_LIST, codes.FLUSH_SPACE_EX, codes.FLUSH_LIST_EX)
FIELDS = itemgetter(*(offset >> 3 for offset in GUEST_STATE))      # of a plane's words, at once: it is done often


class Fuzzer:
    """A machine with two processors and VTL1, and what it is asked."""

    def __init__(self, seed: int, engine: str = "interp", dialect: str = "ms") -> None:
        self.random = random.Random(seed)
        self.seed, self.done = seed, 0
        self.answered = dict.fromkeys(STATUSES, 0)
        self.engine, self.dialect = engine, dialect
        self.fresh()

    def fresh(self) -> None:
        """A new machine, as after a reset."""
        self.g = g = Guest(self.dialect, vcpus=2, engine=self.engine)
        g.step(NOP)                                         # sets accessed bits
        g.wrmsr(0x40000000, OS_ID)
        g.wrmsr(0x40000001, HYPERCALL_PAGE | 1)
        if self.random.random() < 0.8:
            g.secure()
            if self.random.random() < 0.5:
                assert g.enable_vp(vp=1) == 0

    def run(self, calls: int) -> None:
        """So many calls, on a new machine every few hundred. AssertionError: one that should not have happened."""
        for n in range(calls):
            if n % 300 == 299:
                self.fresh()
            try:
                self.one()
            except Exception as error:
                raise AssertionError(f"seed {self.seed}, call {self.done}, {self.engine}, {self.dialect}: "
                                     f"{type(error).__name__}: {error}") from error
            self.done += 1

    def one(self) -> None:
        """One call from whichever VTL is drawn."""
        g, draw = self.g, self.random
        if g.vp.enabled > 1 and draw.random() < 0.1:
            (g.vtl_call if g.vtl == 0 else g.vtl_return)()
        code = draw.choice([*CALLS, *CALLS, *UNKNOWN])
        value, first, second = self.arguments(code)
        rip = g.reg(layout.RIP)
        g.m.dma_write(rip, VMCALL)
        plane = g.plane
        for offset, word in ((layout.gpr(1), value), (layout.gpr(2), first), (layout.gpr(8), second), (RAX, 0x5A5A)):
            plane.set(offset, word)
        before = self.state()
        g.run(1)
        # An earlier call may have given this VTL registers with which it cannot even fetch the instruction.
        assert g.m.stopping is None or g.m.stopping.reason == TRIPLE_FAULT, f"the machine stopped: {g.m.stopping}"
        narrow = plane.get(layout.MODE) & 3 != layout.MODE_64       # the call left 64-bit mode: results are elsewhere
        if g.m.stopping or narrow or g.reg(layout.RIP) != rip + 3:  # or it waits, was intercepted, or faulted
            self.fresh()
            return
        result = plane.get(RAX)
        status, completed = result & 0xFFFF, result >> 32
        assert status in STATUSES and result >> 16 & 0xFFFF == 0 and completed >> 12 == 0, f"{code:#x}: {result:#x}"
        self.answered[status] += 1
        if status and completed <= value >> 48 & 0xFFF:
            after = self.state()
            changed = [key for key in before if before[key] != after[key]]
            assert not changed, f"{code:#x} gave {status:#x} and changed {changed}: {differences(before, after)}"

    def state(self) -> dict:
        """What a refused call may not change."""
        g = self.g
        found = {}
        for vcpu in g.m.vcpus:
            for plane in vcpu.planes:
                found[f"registers of VTL{plane.number} on VP {vcpu.index}"] = FIELDS(plane.words)
            for apic in vcpu.lapics:
                found[f"apic {vcpu.index} {id(apic)}"] = apic.irr, apic.isr, apic.tpr
        for vp in g.partition.vps:
            found[f"vp {vp.index}"] = vp.enabled, sorted(vp.vtls)
            for vtl, part in vp.vtls.items():
                found[f"vtl {vp.index} {vtl}"] = (
                    tuple(part.synic.values.items()), part.assist_page, part.vina, tuple(part.secure.items()),
                    tuple(part.traps.values.items()), tuple(part.stimers.read(i) for i in stimer.INDEXES))
        found["partition"] = g.partition.enabled, [(v.config, v.hypercall) for v in g.partition.vtls.values()]
        found["memory"] = self.memory()
        return found

    def memory(self) -> tuple[tuple[int, bytes], ...]:
        """What was ever written of RAM, beneath overlays too, and what lies where."""
        memory, (_, ram) = self.g.m.memory, self.g.m.memory.ram[0]
        kinds = memory.map_block.view[:ram.size // PAGE * 8:8].tobytes()
        return tuple((page << 8 | flags & ~pmap.CODE, ram.view[page * PAGE:(page + 1) * PAGE].tobytes())
                     for page, flags in enumerate(kinds) if not flags & pmap.CLEAN)

    # --- what is asked -------------------------------------------------------------------------------------------

    def arguments(self, code: int) -> tuple[int, int, int]:
        """Input value and operands: mostly sensible, with a flaw or two."""
        draw, call = self.random, CALLS.get(code)
        count = draw.randrange(1, 5) if call and call.repeated else 0
        value = code | count << 32
        flaw = draw.randrange(12)
        if flaw == 0:
            value |= draw.getrandbits(64) & (0xF << 27 | 0xF << 44 | 0xF << 60 | 1 << 31)
        elif flaw == 1:
            value ^= draw.getrandbits(12) << 32
        elif flaw == 2:
            value |= draw.randrange(8) << 48
        elif flaw == 3:
            value |= draw.getrandbits(10) << 17
        block = self.block(code, count)
        if draw.random() < 0.25:
            value |= 1 << 16
            for word in range(12):
                at = 16 + 8 * word
                self.g.plane.fpu_set(fpu_layout.xmm(word // 2) + word % 2 * 8,
                                     int.from_bytes(block[at:at + 8].ljust(8, b"\0"), "little"))
            return value, int.from_bytes(block[:8], "little"), int.from_bytes(block[8:16].ljust(8, b"\0"), "little")
        self.g.m.memory.write(INPUT, block[:4096])
        first, second = INPUT, OUTPUT
        if draw.random() < 0.1:
            first = draw.choice((INPUT + 4, INPUT + 0xFF0, HYPERCALL_PAGE, 0xFEE00000, 1 << 40, draw.getrandbits(64)))
        if draw.random() < 0.1:
            second = draw.choice((OUTPUT + 4, OUTPUT + 0xFF8, HYPERCALL_PAGE, 0xFEE00000, draw.getrandbits(64)))
        return value, first, second

    def block(self, code: int, count: int) -> bytes:
        """A parameter block."""
        draw = self.random
        identity = SELF if draw.random() < 0.95 else draw.getrandbits(64)
        index = draw.choice((VP_SELF, VP_SELF, 0, 1, 2, 0xFFFFFFFF))
        vtl = draw.choice((0, 0, 0x10, 0x11, 0x12, 1, 2, draw.getrandbits(8)))
        head = struct.pack("<QIB3s", identity, index, vtl, b"\0\0\0" if draw.random() < 0.95 else b"\1\0\0")
        if code in (codes.GET_VP_REGISTERS, codes.SET_VP_REGISTERS):
            for _ in range(max(count, 1)):
                head += struct.pack("<I", draw.choice(NAMES))
                if code == codes.SET_VP_REGISTERS:
                    head += bytes(12) + self.number(128).to_bytes(16, "little")
            return head
        if code == codes.MODIFY_VTL_PROTECTION_MASK:
            head = struct.pack("<QIB3x", identity, draw.choice((0, 1, 3, 9, 15, draw.getrandbits(16))), vtl)
            pages = (0x300, 0x301, 0x302, 0xFEE00, draw.getrandbits(52))
            return head + struct.pack(f"<{max(count, 1)}Q", *(draw.choice(pages) for _ in range(max(count, 1))))
        if code == codes.INSTALL_INTERCEPT:
            parameter = draw.choice((0, 6, 0x80, 0x80 << 16 | 0x70, 0xC0000082, self.number(64)))
            return struct.pack("<QIIQ", identity, draw.choice((0, 1, 2, 3, 4, 8)), draw.randrange(0x14), parameter)
        if code in (codes.REGISTER_INTERCEPT_RESULT, codes.UNREGISTER_INTERCEPT_RESULT):
            head = struct.pack("<QII", identity, index, draw.randrange(4))
            named = struct.pack("<IIBB2x", self.number(32), draw.randrange(5), *draw.choices((0, 1, 1, 2), k=2))
            return head + named + self.number(256).to_bytes(32, "little")
        if code in (codes.SEND_IPI, codes.SEND_IPI_EX):
            head = struct.pack("<IB3x", draw.choice((5, 0x41, 0x100, 1 << 31)), vtl)
        if code == codes.ASSERT_VIRTUAL_INTERRUPT:
            return struct.pack("<QQQIB3x", identity, draw.choice((0, 1, 4, 1 << 32, 1 << 40)), self.number(40),
                               draw.choice((5, 0x41)), draw.randrange(3))
        if code in (codes.TRANSLATE_VIRTUAL_ADDRESS, codes.TRANSLATE_VIRTUAL_ADDRESS_EX):
            flags = draw.getrandbits(11) & draw.getrandbits(11) | (vtl & 0x13) << 56
            return struct.pack("<QI4xQQ", identity, index, flags,
                               draw.choice((0, INPUT >> 12, HYPERCALL_PAGE >> 12, 0x300, draw.getrandbits(64))))
        if code in FLUSHES:
            flags = draw.choice((0, 1, 3, 7, 0x10 | draw.randrange(3) << 8, draw.getrandbits(12)))
            head = struct.pack("<QQ", draw.choice((PML4, 0)), flags)
            if code in (codes.FLUSH_SPACE, codes.FLUSH_LIST):
                return head + struct.pack("<5Q", draw.randrange(5), *(draw.getrandbits(48) for _ in range(4)))
        if code in (*FLUSHES, codes.SEND_IPI_EX):
            return head + struct.pack("<QQ6Q", draw.choice((0, 0, 1, 2)), draw.choice((0, 1, 3, 1 << 63)),
                                      *(draw.randrange(4) for _ in range(6)))
        return head + b"".join(self.number(64).to_bytes(8, "little") for _ in range(draw.randrange(40)))

    def number(self, bits: int) -> int:
        """A number of up to so many bits: small, sparse or any."""
        draw = self.random
        return draw.choice((0, 1, draw.getrandbits(8), draw.getrandbits(bits) & draw.getrandbits(bits),
                            draw.getrandbits(bits)))


def differences(before: dict, after: dict) -> list[str]:
    """The offsets in register files (jit/layout.py) at which two states differ."""
    return [f"{key}: {offset:#x}" for key in before if key.startswith("registers")
            for offset, old, new in zip(GUEST_STATE, before[key], after[key], strict=True) if old != new]


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.emu.planes.vsm.fuzz", description="Random hypercalls.")
    parser.add_argument("--calls", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="where the random numbers start (default: %(default)s)")
    args = parser.parse_args(argv)
    ways = [(engine, dialect) for engine in ("interp", "auto") for dialect in ("ms", "kut")]
    total = 0
    for n in range(0, args.calls, 1000):
        engine, dialect = ways[n // 1000 % len(ways)]
        fuzzer = Fuzzer(args.seed + n, engine, dialect)
        try:
            fuzzer.run(min(1000, args.calls - n))
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
        total += fuzzer.done
        print(f"\r{total} calls", end="", file=sys.stderr, flush=True)
    print(f"\n{total} calls: nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
