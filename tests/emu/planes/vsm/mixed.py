"""Random instructions, hypercalls, switches and interrupts in two or three VTLs: both engines do the same, and nothing
that a guest does ends the run otherwise than by a triple fault or a reset.

    python -m tests.emu.planes.vsm.mixed --programs 200 --seed 1

A difference is one line that names the seed and the step.
"""
import argparse
import struct
import sys

from emu.irq.apicbus import ApicMessage
from emu.planes.vsm.hypercall import CALLS
from emu.stop import RESET, TRIPLE_FAULT
from jit import layout
from tests.emu.planes.vsm.fuzz import GUEST_STATE, Fuzzer
from tests.emu.planes.vsm.guest import (
    ASSIST,
    CODE,
    CONFIG,
    GDT,
    HYPERCALL_PAGE,
    INPUT,
    MESSAGES,
    NOP,
    OS_ID,
    OUTPUT,
    PD,
    SELF,
    VMCALL,
    Guest,
)

STEPS, LIFETIME = 200, 100
PROTECTED, UNMAPPED = 0x300000, 0x7F000000
ADDRESSES = (PROTECTED, PROTECTED + 0xFF8, PROTECTED + 0x1000, INPUT, OUTPUT, ASSIST, MESSAGES, HYPERCALL_PAGE, CODE,
             PD, GDT, 0xFEE00000, 0xFEE00080, 0xFEE00300, UNMAPPED, 1 << 40)
REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8".split()
# Loads, stores, stack, exceptions, CPUID, ports, waiting, control and debug registers, tables, string operations.
CODES = [bytes.fromhex(text) for text in """488b18 488918 50 58 cc 0f0b 0fa2 ec ee f4 fb fa 0f22e0 0f22c0 0f20e0 0f0110
    0f0118 0f01c1 0f01d9 f3a4 6c 6e ffd0 48cf 0f23f8 0f21f0 0f01d1 9c 9d f390 0f00d8 8ed8 488718 f048ff00 0f0138 cd41 f1
    0f31 0fae07 0f1107""".split()]
RDMSR, WRMSR, CPUID, PORTS = b"\x0f\x32", b"\x0f\x30", b"\x0f\xa2", (b"\xec", b"\xee", b"\x6c", b"\x6e")
MSRS = (0x10, 0x1B, 0x3B, 0x174, 0x1A0, 0x277, 0x6E0, 0x808, 0x80B, 0x830, 0xC0000080, 0xC0000082, 0xC0000102,
        0xC0011FFF, *range(0x40000000, 0x40000004), 0x40000010, *range(0x40000020, 0x40000023), 0x40000040,
        *range(0x40000070, 0x40000074), *range(0x40000080, 0x40000086), *range(0x40000090, 0x40000094),
        *range(0x400000B0, 0x400000B4), 0x400000F0, 0x40000100, 0x40000105)
LEAVES = (0, 1, 7, 0x40000000, 0x40000003, 0x40000099, 0x80000001)
VTL2_PAGES = 0x70000


class Program(Fuzzer):
    """One random program in one engine. With a dialect that ends in -vtl2 a paravisor starts it."""

    def fresh(self) -> None:
        if not self.dialect.endswith("-vtl2"):
            super().fresh()
            return
        draw = self.random
        self.g = g = Guest(self.dialect, vcpus=2, max_vtl=2, engine=self.engine)
        g.launch()
        for index, value in ((0x40000000, OS_ID), (0x40000001, VTL2_PAGES | 1), (0x40000073, VTL2_PAGES + 0x1000 | 1),
                             (0x40000083, VTL2_PAGES + 0x2000 | 1), (0x40000080, 1), (0x40000090, 0x33)):
            g.wrmsr(index, value)
        more = draw.choice((0, 1 << 12, 1 << 10 | 1 << 12, 1 << 9 | 1 << 11 | 1 << 14))
        assert g.set((CONFIG, 0x3F | more)) == (0, 1)
        for _ in range(3):
            g.call(0x4D, struct.pack("<QIIQ", SELF, draw.randrange(1, 5), draw.choice((0, 1, 2, 3, 0xD, 0x11)),
                                     draw.choice((0, 1, 3, 6, 13, 14, 0x80, 0x70 | 0x90 << 16))))
        g.protect(draw.choice((0, 1, 3, 5, 0xD)), PROTECTED)
        g.vtl_return()
        if draw.random() < 0.6:
            g.wrmsr(0x40000000, OS_ID)
            assert g.enable_partition(1) == 0 and g.enable_vp(1) == 0
            g.vtl_call()

    def step(self) -> dict:
        """One step, after which the state is given. AssertionError: the run ended."""
        g, draw = self.g, self.random
        if draw.random() < 0.02:
            g.use(draw.randrange(len(g.m.vcpus)))
        code, registers = self.instruction()
        for name, value in registers.items():
            g.plane.set(layout.gpr(REGISTERS.index(name)), value & (1 << 64) - 1)
        try:
            g.m.dma_write(g.reg(layout.RIP), code)
        except ValueError:
            pass                                            # it runs where nothing can be written
        g.run(draw.choice((1, 1, 1, 3)))
        assert g.m.stopping is None or g.m.stopping.reason in (TRIPLE_FAULT, RESET), str(g.m.stopping)
        found = self.compared()
        self.done += 1
        if g.m.stopping or self.done % LIFETIME == 0:
            self.fresh()
        return found

    def instruction(self) -> tuple[bytes, dict[str, int]]:
        """What runs next, and with which registers. Interrupts come in front of a NOP."""
        draw, chance = self.random, self.random.random()
        if chance < 0.3:
            value, first, second = self.arguments(draw.choice([*CALLS]))
            return VMCALL, dict(rcx=value, rdx=first, r8=second, rax=0x5A)
        if chance < 0.4:
            return VMCALL, dict(rax=draw.choice((0, 0, 1, 2)), rcx=draw.choice((0x11, 0x12)))
        if chance < 0.5:
            draw.choice(self.g.vcpu.lapics).accept(ApicMessage(draw.choice((0x30, 0x41, 0x51, 0xE0))))
            return NOP, {}
        if chance < 0.6:
            return draw.choice((RDMSR, WRMSR)), dict(
                rcx=draw.choice(MSRS), rax=draw.choice((0, 1, self.number(32), draw.choice(ADDRESSES) | 1)),
                rdx=draw.choice((0, 0, self.number(32))))
        code = draw.choice(CODES)
        registers = {name: draw.choice((*ADDRESSES, 0, 1, 3, 0x20, 0x80, self.number(64)))
                     for name in draw.sample([name for name in REGISTERS if name != "rsp"], 3)}
        if code in PORTS:
            registers["rdx"] = draw.choice((0x71, 0x80, 0x3F8, 0x3000, self.number(16)))
        return code, dict(rax=draw.choice(LEAVES)) if code == CPUID else registers

    def compared(self) -> dict:
        """What has to be the same in both engines: all but host addresses."""
        found = {key: tuple(word for offset, word in zip(GUEST_STATE, value, strict=True) if offset != layout.DENIALS)
                 if key.startswith("registers") else value
                 for key, value in self.state().items() if not key.startswith("apic")}
        vcpus = self.g.m.vcpus
        return found | {"active": [vcpu.group.active for vcpu in vcpus], "stop": str(self.g.m.stopping),
                        "RIP": [plane.get(layout.RIP) for vcpu in vcpus for plane in vcpu.planes],
                        "APICs": [(apic.irr, apic.isr, apic.tpr) for vcpu in vcpus for apic in vcpu.lapics]}


def compare(seed: int, dialect: str) -> None:
    """Run a program in both engines. AssertionError: they differ, or it ended the run."""
    one, other = (Program(seed, engine, dialect) for engine in ("interp", "auto"))
    for number in range(STEPS):
        try:
            before, after = one.step(), other.step()
        except Exception as error:
            raise AssertionError(f"seed {seed}, {dialect}, step {number}: {type(error).__name__}: {error}") from error
        differs = [key for key in before if before[key] != after[key]]
        assert not differs, f"seed {seed}, {dialect}, step {number}: the engines differ in {', '.join(differs)}"


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.emu.planes.vsm.mixed", description="Random VSM programs.")
    parser.add_argument("--programs", type=int, default=30, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first (default: %(default)s)")
    args = parser.parse_args(argv)
    for seed in range(args.seed, args.seed + args.programs):
        try:
            compare(seed, ("ms", "kut", "ms-vtl2")[seed % 3])
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{args.programs} programs of {STEPS} steps: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
