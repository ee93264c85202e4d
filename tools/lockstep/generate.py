"""Draws programs from a seed: straight code, loops, branches, calls, stack work, faults and code that changes."""

from __future__ import annotations

import random
from collections.abc import Callable

from iced_x86 import Code, Instruction, MemoryOperand, Register

from tools.lockstep.forms import LOW, Maker, value
from tools.lockstep.program import Item, Program, Resolve
from tools.lockstep.world import CODE, DATA, DATA_AREAS, DATA_STEP, STACK, STACK_PAGES

R = Register
BASES = {64: (R.RBP, R.R12, R.R13), 32: (R.EBP,)}
COUNTERS = {64: (R.R15, R.R14), 32: (R.EDI,)}
JCC32 = "JO JNO JB JAE JE JNE JBE JA JS JNS JP JNP JL JGE JLE JG".split()
AREAS = tuple(DATA + n * DATA_STEP for n in range(DATA_AREAS))


class Generator:
    """One program's worth of random items. Another world than that of tools/lockstep/world.py has other places."""

    areas: tuple[int, ...] = AREAS          # linear addresses of data; the first three are surely writable
    stack, stack_pages, code_page = STACK, STACK_PAGES, CODE

    def __init__(self, seed: int, bits: int | None = None) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.bits = bits or self.rng.choice((64, 64, 32))
        self.paging = "4-level" if self.bits == 64 else self.rng.choice(("pae", "32-bit"))
        self.maker = self.make_maker()
        self.changes_itself = self.rng.random() < 0.2
        if self.rng.random() < 0.2:
            self.maker.add_vectors(8)
        self.items: list[Item] = []
        self.functions: list[int] = []      # labels, for calls; their code follows the main part

    def make_maker(self) -> Maker:
        """What makes single instructions."""
        return Maker(self.rng, self.bits, BASES[self.bits], self.areas)

    # --- small helpers ---------------------------------------------------------------------------------------------

    def code(self, stem: str) -> int:
        """iced's Code of a name in which `#` stands for the code size and `$` for its branch displacement."""
        return int(getattr(Code, stem.replace("#", str(self.bits))))

    def wide(self, name: str) -> int:
        """The register of the code's size: wide("SP") is RSP or ESP."""
        return int(getattr(R, ("R" if self.bits == 64 else "E") + name))

    def add(self, make: Callable[[Resolve], list[Instruction]]) -> None:
        self.items.append(Item(len(self.items), make))

    def plain(self, *instructions: Instruction) -> None:
        self.add(lambda resolve: list(instructions))

    def set_register(self, register: int, number: int) -> Instruction:
        if self.bits == 64:
            return Instruction.create_reg_u64(Code.MOV_R64_IMM64, register, number)
        return Instruction.create_reg_u32(Code.MOV_R32_IMM32, register, number & 0xFFFFFFFF)

    # --- items -------------------------------------------------------------------------------------------------------

    def arithmetic(self) -> None:
        self.plain(self.maker.instruction())

    def indexed(self) -> None:
        """An index is masked to stay in reach, then used."""
        index = self.maker.index()
        mask = self.rng.choice((0xF8, 0xFF, 0x1FF, 0x7F8))
        limit = Instruction.create_reg_u32 if self.bits == 32 else Instruction.create_reg_i32
        code = Code.AND_RM32_IMM32 if self.bits == 32 else Code.AND_RM64_IMM32
        self.plain(limit(code, index, mask), self.maker.instruction(index))

    def point(self) -> None:
        """A data pointer moves: often to where accesses run into the next page, at times to where there is none."""
        place = self.rng.choice((0, 0xFF0, 0xFF9, 0xFFD, 0x1000, 0x1010, 0x1F80, 0x1FFA, self.rng.randrange(0x2000)))
        self.plain(self.set_register(self.rng.choice(BASES[self.bits]), self.rng.choice(self.areas) + place))

    def fill(self) -> None:
        """A register gets an interesting value."""
        register = self.maker.register(self.bits)
        self.plain(self.set_register(register, value(self.rng, self.bits)))

    def skip_ahead(self) -> None:
        """A conditional or unconditional branch over some items."""
        label = len(self.items) + self.rng.randrange(1, 8)
        stem = self.rng.choice(JCC32) + "_REL32_#" if self.rng.random() < 0.85 else "JMP_REL32_#"
        code = self.code(stem)
        self.add(lambda resolve: [Instruction.create_branch(code, resolve(label))])

    def loop(self, depth: int) -> None:
        """A counted loop."""
        counter = COUNTERS[self.bits][depth]
        self.plain(self.set_register(counter, self.rng.randrange(2, 40)))
        start = len(self.items)
        for _ in range(self.rng.randrange(1, 9)):
            self.any(depth + 1)
        code = self.code("DEC_RM#")
        branch = self.code("JNE_REL32_#")
        self.add(lambda resolve: [Instruction.create_reg(code, counter),
                                  Instruction.create_branch(branch, resolve(start))])

    def push(self) -> None:
        register = self.maker.register(self.bits if self.rng.random() < 0.8 else 16)
        size = 16 if register in (getattr(R, name) for name in (*LOW[16], "R8W", "R9W", "R10W", "R11W")) else self.bits
        self.plain(Instruction.create_reg(int(getattr(Code, f"{self.rng.choice(('PUSH', 'POP'))}_R{size}")), register))

    def balance(self) -> None:
        """The stack pointer goes back into its pages, near their border."""
        place = self.stack + self.rng.choice((0x1000, 0x1004, 0x1008, 0x100C, 0x1FF0, 0x800))
        self.plain(self.set_register(self.wide("SP"), place))

    def call(self) -> None:
        """A call of one of the functions, direct or through a register or memory."""
        label = self.rng.choice(self.functions)
        way = self.rng.random()
        register = self.maker.register(self.bits)
        place = self.rng.choice(self.areas[:3]) + 0x800
        if way < 0.6:
            code = self.code("CALL_REL32_#")
            self.add(lambda resolve: [Instruction.create_branch(code, resolve(label))])
        elif way < 0.8:
            self.add(lambda resolve: [self.set_register(register, resolve(label)),
                                      Instruction.create_reg(self.code("CALL_RM#"), register)])
        else:
            code = self.code("MOV_RM#_R#")
            self.add(lambda resolve: [
                self.set_register(register, resolve(label)),
                Instruction.create_mem_reg(code, self.through(place), register),
                Instruction.create_mem(self.code("CALL_RM#"), self.through(place))])

    def through(self, address: int) -> MemoryOperand:
        """An absolute operand."""
        return MemoryOperand(displ=address, displ_size=self.bits // 8)

    def hop(self) -> None:
        """An indirect jump ahead."""
        label = len(self.items) + self.rng.randrange(1, 5)
        register = self.maker.register(self.bits)
        self.add(lambda resolve: [self.set_register(register, resolve(label)),
                                  Instruction.create_reg(self.code("JMP_RM#"), register)])

    def rewrite(self) -> None:
        """A store changes the immediate of an instruction some items ahead, or its opcode, or one just executed."""
        ahead = self.rng.randrange(0, 6)
        target = len(self.items) + ahead + 1
        drawn = self.rng.getrandbits(31)
        register = getattr(R, self.rng.choice(LOW[32]))
        self.add(lambda resolve: [Instruction.create_mem_u32(Code.MOV_RM32_IMM32, self.through(resolve(target) + 1),
                                                             drawn)])
        for _ in range(ahead):
            self.arithmetic()
        self.plain(Instruction.create_reg_u32(Code.MOV_R32_IMM32, register, self.rng.getrandbits(31)))

    def any(self, depth: int = 0) -> None:
        """A random item; `depth` counts the loops around it."""
        ways: list[tuple[float, Callable[[], None]]] = [
            (40, self.arithmetic), (12, self.indexed), (6, self.point), (6, self.fill), (10, self.skip_ahead),
            (8, self.push), (2, self.balance), (2, self.hop)]
        if self.changes_itself:
            ways.append((3, self.rewrite))
        if self.functions:
            ways.append((4, self.call))
        if depth < len(COUNTERS[self.bits]):
            ways.append((6, lambda: self.loop(depth)))
        self.rng.choices([way for _, way in ways], [weight for weight, _ in ways])[0]()

    # --- the whole ---------------------------------------------------------------------------------------------------

    def program(self) -> Program:
        """The program: a main part that goes round for ever, and functions before it that it calls."""
        rng = self.rng
        enter = len(self.items)
        main: list[int] = []
        branch = self.code("JMP_REL32_#")
        self.add(lambda resolve: [Instruction.create_branch(branch, resolve(main[0]))])
        for _ in range(rng.randrange(0, 4)):
            label = len(self.items)
            for _ in range(rng.randrange(1, 12)):
                self.any(1)
            release = rng.random() < 0.2
            self.plain(Instruction.create_u32(self.code("RETN" + "Q" * (self.bits == 64) + "D" * (self.bits == 32)
                                                        + "_IMM16"), 8) if release else
                       Instruction.create(self.code("RETN" + ("Q" if self.bits == 64 else "D"))))
            self.functions.append(label)
        main.append(len(self.items))
        self.balance()
        self.point()
        for _ in range(rng.randrange(5, 60)):
            self.any()
        self.add(lambda resolve: [Instruction.create_branch(branch, resolve(main[0]))])
        assert enter == 0
        registers = [value(rng, self.bits) for _ in range(16 if self.bits == 64 else 8)]
        registers[4] = self.stack + self.stack_pages * 2048
        for number in (5, 12, 13):
            if number < len(registers):
                registers[number] = rng.choice(self.areas) + rng.randrange(0x1000)
        return Program(self.seed, self.bits, self.paging, self.code_page + rng.choice((0, rng.randrange(0x1000), 0xFFF,
                                                                              0x1000 - rng.randrange(300))),
                       tuple(registers), tuple(self.items), self.changes_itself)


def generate(seed: int, bits: int | None = None) -> Program:
    """The program of a seed."""
    return Generator(seed, bits).program()
