"""Starting states that several loaders share: real mode, flat protected mode, long mode over identity page tables."""

from emu.load import ram
from emu.load.layout import Layout
from emu.load.model import BootState, SegmentRegister

CR0_PE, CR0_ET, CR0_PG = 1 << 0, 1 << 4, 1 << 31
CR4_PAE = 1 << 5
EFER_LME, EFER_LMA = 1 << 8, 1 << 10

# Packed as SegmentRegister.attributes: present, DPL 0, accessed (type from SDM Vol. 3A, tables 3-1 and 3-2).
CODE16, DATA16 = 0x009B, 0x0093
CODE32, DATA32 = 0xC09B, 0xC093  # G and D/B
CODE64 = 0xA09B  # G and L
LDT, BUSY_TSS = 0x0082, 0x008B

_PRESENT, _WRITE, _LARGE = 1, 2, 1 << 7
TABLES = 6  # pages: PML4, PDPT, one page directory for each of the low 4 GiB
STACK_SIZE, ABOVE_RSP = 0x4000, 64


def descriptor(segment: SegmentRegister) -> bytes:
    """The 8-byte code or data descriptor that loads ``segment`` (SDM Vol. 3A, figure 3-8)."""
    attributes = segment.attributes
    limit = segment.limit >> 12 if attributes & 0x8000 else segment.limit
    raw = limit & 0xFFFF | (segment.base & 0xFFFFFF) << 16 | (attributes & 0xFF) << 40
    raw |= (limit >> 16 & 0xF) << 48 | (attributes >> 12) << 52 | (segment.base >> 24) << 56
    return raw.to_bytes(8, "little")


def identity_tables(base: int, memory: int) -> bytes:
    """Long-mode tables to be placed at ``base`` (page aligned) that map each address to itself, writable, supervisor.

    2 MiB pages below 4 GiB, 1 GiB pages above it as far as ``memory`` bytes of RAM reach (SDM Vol. 3A, 4.5).
    In order: PML4, PDPT, four page directories.
    """
    page = ram.PAGE
    pml4 = [base + page | _PRESENT | _WRITE]
    pdpt = [base + (2 + i) * page | _PRESENT | _WRITE for i in range(4)]
    top = ram.loadable(memory)[-1].end
    pdpt += [gib << 30 | _PRESENT | _WRITE | _LARGE for gib in range(4, (top + (1 << 30) - 1) >> 30)]
    directories = [i << 21 | _PRESENT | _WRITE | _LARGE for i in range(4 * 512)]
    return b"".join(e.to_bytes(8, "little") for e in _page(pml4) + _page(pdpt) + directories)


def _page(entries: list[int]) -> list[int]:
    return entries + [0] * (512 - len(entries))


def real_mode(code: int, ip: int, stack: int, registers: dict[str, int] | None = None) -> BootState:
    """16-bit real mode at ``code``:``ip``; the data segments equal ``code``, SS is the segment ``stack``."""
    def at(selector: int, attributes: int) -> SegmentRegister:
        return SegmentRegister(selector, selector << 4, 0xFFFF, attributes)
    segments = {name: at(code, DATA16) for name in ("ds", "es", "fs", "gs")}
    segments |= {"cs": at(code, CODE16), "ss": at(stack, DATA16)} | system_segments()
    return BootState({"rip": ip, "rflags": 2, "cr0": CR0_ET} | (registers or {}), segments, (0, 0xFFFF), (0, 0xFFFF))


def protected_mode(layout: Layout, registers: dict[str, int], *, code: int = 0x08,
                   tss_limit: int = 0xFFFF) -> BootState:
    """Flat 32-bit protected mode without paging. ``code`` is CS's selector; the data segments use the next one.

    Puts a GDT into ``layout``.
    """
    segments, gdtr = _flat(layout, CODE32, code)
    control = {"rflags": 2, "cr0": CR0_PE | CR0_ET}
    return BootState(control | registers, segments | system_segments(tss_limit), gdtr, (0, 0))


def long_mode(layout: Layout, registers: dict[str, int], memory: int, *, code: int = 0x08) -> BootState:
    """64-bit mode over identity page tables; ``code`` as for protected_mode. Puts the tables and a GDT into RAM."""
    segments, gdtr = _flat(layout, CODE64, code)
    cr3 = layout.find_low(TABLES * ram.PAGE, "page tables")
    layout.put(cr3, identity_tables(cr3, memory), "page tables")
    control = {"rflags": 2, "cr0": CR0_PG | CR0_PE | CR0_ET, "cr3": cr3, "cr4": CR4_PAE, "efer": EFER_LME | EFER_LMA}
    return BootState(control | registers, segments | system_segments(), gdtr, (0, 0))


def put_stack(layout: Layout) -> int:
    """Put a zeroed stack; an initial stack pointer in it, 16-byte aligned, with 64 zero bytes above it.

    As at a System V process entry point (AMD64 psABI 3.4.1), [RSP] is argc, here 0, with empty argv and envp after it.
    """
    return layout.put_low(b"", "stack", size=STACK_SIZE) + STACK_SIZE - ABOVE_RSP


def _flat(layout: Layout, code_attributes: int, code: int) -> tuple[dict[str, SegmentRegister], tuple[int, int]]:
    cs = SegmentRegister(code, 0, 0xFFFFFFFF, code_attributes)
    data = SegmentRegister(code + 8, 0, 0xFFFFFFFF, DATA32)
    gdt = bytes(code) + descriptor(cs) + descriptor(data)
    gdtr = (layout.put_low(gdt, "GDT"), len(gdt) - 1)
    return {"cs": cs} | dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data), gdtr


def system_segments(tss_limit: int = 0xFFFF) -> dict[str, SegmentRegister]:
    """LDTR and TR as RESET leaves them (SDM Vol. 3A, table 9-1); ``tss_limit`` for protocols that ask for another."""
    return {"ldtr": SegmentRegister(0, 0, 0xFFFF, LDT), "tr": SegmentRegister(0, 0, tss_limit, BUSY_TSS)}
