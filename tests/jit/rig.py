"""A bare engine for tests: RAM, descriptor tables and page tables built by hand, code bytes run in any mode.

Port and MMIO reads answer from `port_input`; writes are logged in `port_output`. Exits that mean something to a test
end `run`, which gives the status.
"""

from __future__ import annotations

from functools import cache

from emu.engine import Engine
from emu.mem.ram import PhysicalMemory
from emu.plane import GPR_NAMES, SEGMENT_NAMES, Plane
from jit import exits, layout

RAM = 1 << 24
GDT, IDT, LDT, TSS, TABLES = 0x2000, 0x3000, 0x4000, 0x5000, 0x100000
CODE, STACK, STACK_TOP = 0x10000, 0x20000, 0x20800
HANDLERS = 0x30000              # the handler of vector v is one HLT at HANDLERS + 16 * v
CODE16, CODE32, CODE64, DATA = 0x9A, 0xC09A, 0xA09A, 0xC092
NULL, KCODE, KDATA, UCODE, UDATA, TASK, LOCAL = 0, 8, 0x10, 0x18, 0x20, 0x28, 0x38
INT16, TRAP16, INT32, TRAP32, CALL16, CALL32 = 0x86, 0x87, 0x8E, 0x8F, 0x84, 0x8C
PRESENT, WRITE, USER, LARGE = 1, 2, 4, 0x80
CR0_PE, CR0_PG, CR4_PSE, CR4_PAE, EFER_LME, EFER_LMA = 1, 1 << 31, 1 << 4, 1 << 5, 1 << 8, 1 << 10


def descriptor(base: int = 0, limit: int = 0xFFFFF, attributes: int = DATA) -> int:
    """A segment descriptor; `attributes` as in the register file, `limit` as stored."""
    return (limit & 0xFFFF | (base & 0xFFFFFF) << 16 | (attributes & 0xFF) << 40 | (limit >> 16 & 0xF) << 48
            | (attributes >> 12) << 52 | (base >> 24 & 0xFF) << 56)


def gate(selector: int, offset: int, kind: int, low: int = 0) -> int:
    """An 8-byte gate; `low` is the IST or parameter count."""
    return offset & 0xFFFF | selector << 16 | low << 32 | kind << 40 | (offset >> 16 & 0xFFFF) << 48


@cache
def shared() -> tuple[PhysicalMemory, Engine]:
    """One engine for all tests: what is compiled stays compiled."""
    memory = PhysicalMemory(RAM)
    memory.add_ram(0, RAM)
    return memory, Engine(memory)


class Rig:
    """A plane over shared RAM, cleared, in one of the modes "real", "pm16", "pm32", "long", "vm86"."""

    def __init__(self, mode: str = "long", cpl: int = 0, paging: bool = False) -> None:
        self.memory, self.engine = shared()
        self.engine.translator.flush()
        for page in range(0, 0x200000, 0x1000):
            self.memory.write(page, bytes(0x1000))
        self.plane = Plane(self.engine)
        self.port_input: list[int] = []
        self.port_output: list[tuple[int, int, int]] = []
        self.unimplemented: list[int] = []
        self.overwritten: list[int] = []        # where stores hit decoded code
        self.mode = mode
        self.set("dr6", 0xFFFF0FF0)
        self.set("dr7", 0x400)
        self.set("cr0", 0x10)
        self.set("flags", 2)
        getattr(self, "_" + mode)(cpl)
        if paging and mode != "long":
            self.page_tables()
        self.plane.update_mode()

    # --- state ---------------------------------------------

    def get(self, name: str) -> int:
        """A register or field by name: a GPR, "cs.base", "rip", "flags", or any name of jit/layout.py."""
        if name == "flags":
            return self.plane.rflags
        return self.plane.get(self._offset(name))

    def set(self, name: str, value: int) -> None:
        if name == "flags":
            self.plane.rflags = value
            return
        self.plane.set(self._offset(name), value)

    @staticmethod
    def _offset(name: str) -> int:
        if name in GPR_NAMES:
            return layout.gpr(GPR_NAMES.index(name))
        segment, _, part = name.partition(".")
        if segment in SEGMENT_NAMES:
            parts = {"": layout.SEG_SELECTOR, "base": layout.SEG_BASE, "limit": layout.SEG_LIMIT,
                     "attr": layout.SEG_ATTR}
            return layout.seg(SEGMENT_NAMES.index(segment), parts[part])
        return layout.FIELDS[name].offset

    def segment(self, name: str, selector: int, base: int, limit: int, attributes: int) -> None:
        for part, value in (("", selector), (".base", base), (".limit", limit), (".attr", attributes)):
            self.set(name + part, value)

    def snapshot(self) -> dict[str, int]:
        """What an instruction that faults must not change."""
        names = [*GPR_NAMES, "rip", "flags", "cpl", "cr0", "cr3", "cr4", "efer", "mode", "tlb_set", "code_base"]
        names += [s + p for s in SEGMENT_NAMES for p in ("", ".base", ".limit", ".attr")]
        return {n: self.get(n) for n in names}

    # --- memory ---------------------------------------------

    def write(self, at: int, value: int, size: int = 8) -> None:
        self.memory.write(at, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def read(self, at: int, size: int = 8) -> int:
        return int.from_bytes(self.memory.read(at, size), "little")

    def words(self, at: int, count: int, size: int) -> list[int]:
        return [self.read(at + i * size, size) for i in range(count)]

    def entry(self, selector: int, value: int) -> None:
        """A GDT entry."""
        self.write(GDT + (selector & ~7), value)

    def page_tables(self) -> None:
        """32-bit identity mapping of all RAM in 4 KiB pages, user and writable."""
        for i in range(RAM >> 22):
            self.write(TABLES + 4 * i, TABLES + 0x1000 * (i + 1) | PRESENT | WRITE | USER, 4)
            for j in range(1024):
                self.write(TABLES + 0x1000 * (i + 1) + 4 * j, i << 22 | j << 12 | PRESENT | WRITE | USER, 4)
        self.set("cr3", TABLES)
        self.set("cr0", self.get("cr0") | CR0_PG)

    def protect(self, linear: int, flags: int) -> None:
        """Change the flags of the page of `linear` in either kind of table."""
        if self.mode == "long":
            self.write(TABLES + 0x3000 + 8 * (linear >> 12), linear & -0x1000 | flags)
        else:
            self.write(TABLES + 0x1000 + 4 * (linear >> 12), linear & -0x1000 | flags, 4)
        self.plane.flush()

    # --- modes ---------------------------------------------

    def _real(self, cpl: int) -> None:
        for name in SEGMENT_NAMES[:6]:
            self.segment(name, 0, 0, 0xFFFF, 0x93)
        self.segment("cs", CODE >> 4, CODE, 0xFFFF, 0x93)
        self.segment("ss", STACK >> 4, STACK, 0xFFFF, 0x93)
        self.set("idtr_limit", 0x3FF)
        for vector in range(256):
            self.write(4 * vector, HANDLERS >> 4 << 16 | 16 * vector, 4)
        self._handlers()
        self.set("rip", 0)
        self.set("rsp", 0x800)

    def _handlers(self) -> None:
        for vector in range(256):
            self.memory.write(HANDLERS + 16 * vector, b"\xf4")

    def _protected(self, code: int, cpl: int) -> None:
        big = 0 if code == CODE16 else 0x4000
        self.entry(KCODE, descriptor(attributes=code | 0x8000))
        self.entry(KDATA, descriptor(attributes=0x8092 | big))
        self.entry(UCODE, descriptor(attributes=code | 0x8060))
        self.entry(UDATA, descriptor(attributes=0x80F2 | big))
        self.set("gdtr_base", GDT)
        self.set("gdtr_limit", 0xFFF)
        self.set("idtr_base", IDT)
        self.set("idtr_limit", 0xFFF)
        self.set("cr0", self.get("cr0") | CR0_PE)
        self.segment("tr", TASK, TSS, 0x2FF, 0x8B)
        dpl = cpl << 5
        self.segment("cs", KCODE if cpl == 0 else UCODE | cpl, 0, 0xFFFFFFFF, code | 0x8001 | dpl)
        for name in ("ss", "ds", "es", "fs", "gs"):
            self.segment(name, KDATA if cpl == 0 else UDATA | cpl, 0, 0xFFFFFFFF, 0x8093 | big | dpl)
        self.set("cpl", cpl)
        self._handlers()
        self.set("rip", CODE)
        self.set("rsp", STACK_TOP)

    def _gates(self, kind: int) -> None:
        for vector in range(256):
            self.write(IDT + 8 * vector, gate(KCODE, HANDLERS + 16 * vector, kind))

    def _pm32(self, cpl: int) -> None:
        self._protected(CODE32, cpl)
        self._gates(INT32)
        self.write(TSS + 4, STACK_TOP + 0x800, 4)
        self.write(TSS + 8, KDATA, 2)

    def _pm16(self, cpl: int) -> None:
        self._protected(CODE16, cpl)
        self._gates(INT32)
        self.segment("tr", TASK, TSS, 0x2B, 0x83)
        self.write(TSS + 2, 0x4000, 2)
        self.write(TSS + 4, KDATA, 2)

    def _vm86(self, cpl: int) -> None:
        self._pm32(0)
        for name in ("ds", "es", "fs", "gs"):
            self.segment(name, 0x100, 0x1000, 0xFFFF, 0xF3)
        self.segment("cs", CODE >> 4, CODE, 0xFFFF, 0xF3)
        self.segment("ss", STACK >> 4, STACK, 0xFFFF, 0xF3)
        self.set("rip", 0)
        self.set("rsp", 0x800)
        self.set("cpl", 3)
        self.set("flags", 0x20002)

    def _long(self, cpl: int) -> None:
        self._protected(CODE64, cpl)
        self.entry(KDATA, descriptor())
        self.entry(UDATA, descriptor(attributes=DATA | 0x60))
        for vector in range(256):
            self.write(IDT + 16 * vector, gate(KCODE, HANDLERS + 16 * vector, INT32))
        self.set("idtr_limit", 0xFFF)
        self.write(TSS + 4, STACK_TOP + 0x800)
        self.write(TABLES, TABLES + 0x1000 | 7)
        self.write(TABLES + 0x1000, TABLES + 0x2000 | 7)
        for i in range(RAM >> 21):
            self.write(TABLES + 0x2000 + 8 * i, TABLES + 0x3000 + 0x1000 * i | 7)
        for page in range(RAM >> 12):
            self.write(TABLES + 0x3000 + 8 * page, page << 12 | 7)
        self.set("cr3", TABLES)
        self.set("cr4", CR4_PAE)
        self.set("efer", EFER_LME | EFER_LMA)
        self.set("cr0", self.get("cr0") | CR0_PG)

    # --- running ---------------------------------------------

    def code(self, data: bytes | str, at: int = CODE) -> None:
        """Put code (hex text or bytes) at a physical address."""
        self.memory.write(at, bytes.fromhex(data) if isinstance(data, str) else data)
        self.engine.translator.flush()
        self.plane.flush()

    def run(self, code: bytes | str | None = None, budget: int = 100) -> int:
        """Run until HLT, the end of the budget, or an exit that Python does not serve here; `code` is run at CODE."""
        if code is not None:
            self.code(code)
            self.set("rip", CODE - self.get("code_base"))
        self.plane.set(layout.BUDGET, budget)
        for _ in range(1000):
            status = self.engine.run(self.plane.address)
            if not self._serve(status):
                return status
        raise AssertionError("the engine makes no progress")

    def step(self, code: bytes | str | None = None, count: int = 1) -> int:
        """Run exactly `count` instructions: gives the status, EVENT when all went well."""
        return self.run(code, count)

    def vector(self) -> int | None:
        """The vector whose handler (of the mode's own table) the plane is at or just past, if any."""
        linear = self.get("rip") + self.get("code_base") - HANDLERS
        return linear >> 4 if 0 <= linear < 0x1000 else None

    def _serve(self, status: int) -> bool:
        plane, translator = self.plane, self.engine.translator
        if status == exits.DECODE:
            gpa = plane.get(layout.WALK_GPA)
            for page in translator.decode(gpa, plane.get(layout.MODE), self._next_page()):
                plane.flush()
                assert page is not None
            return True
        if status == exits.RUNTIME:
            self.engine.provide(plane.get(layout.IO_VALUE))
            return True
        if status == exits.SMC:
            self.overwritten.append(plane.get(layout.SMC_GPA))
            plane.set(layout.SMC_PASS, 1)
            plane.set(layout.SMC_SECOND, 0)
            plane.set(layout.RESUME, 1)
            return True
        if status == exits.SMC_DONE:
            plane.set(layout.SMC_PASS, 0)
            translator.invalidate(plane.get(layout.SMC_GPA))
            if plane.get(layout.SMC_SECOND):
                translator.invalidate(plane.get(layout.SMC_SECOND) - 1)
            return True
        if status == exits.SHORT:
            translator.invalidate(plane.get(layout.WALK_GPA))
            return True
        if status == exits.IO:
            kind, address, size, value = (plane.get(o) for o in (layout.IO_KIND, layout.IO_ADDRESS, layout.IO_SIZE,
                                                                 layout.IO_VALUE))
            answer = 0
            if kind in (exits.IO_PORT_READ, exits.IO_MMIO_READ):
                answer = self.port_input.pop(0)
            else:
                self.port_output.append((address, size, value & (1 << 8 * size) - 1))
            done = plane.get(layout.IO_DONE)
            plane.set(layout.IO_LOG + 8 * done, answer)
            plane.set(layout.IO_DONE, done + 1)
            plane.set(layout.RESUME, 1)
            return True
        if status == exits.UNIMPLEMENTED:
            self.unimplemented.append(plane.get(layout.RIP))
            plane.raise_exception(6)
            return True
        return False

    def _next_page(self) -> int | None:
        """GPA of the page after the one RIP is in; tests map linear addresses to themselves."""
        return ((self.get("rip") + self.get("code_base")) & -0x1000) + 0x1000
