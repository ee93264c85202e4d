"""The compiled engine as the machine uses it: one translator over one physical memory, and calls into native code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from emu.decode.stored import StoredPages
from emu.decode.translator import Translator
from emu.isa.cpu import Cpu, bare
from emu.mem.monitors import Monitors
from emu.mem.ram import PhysicalMemory
from emu.regions import Regions
from jit import layout, run_slots
from jit.compiler import Compiler, compiler

if TYPE_CHECKING:
    from emu.plane import Plane

_ACCESS_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ACCESS_NOTE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_PAGE_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
_STATE_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
BASICS = ("translate", "slow_load", "slow_store", "slow_probe", "jump_cached", "fall_through", "run", "run_group",
          "select", "notice_due", "note_write", "flush_all", "flush_data", "withdraw_writes", "update_mode")


class Engine:
    """What all planes of a machine share: memory, translator, handler table, runtime functions."""

    def __init__(self, memory: PhysicalMemory, mode: str = "auto",
                 progress: Callable[[str], None] | None = None, cpu: Cpu | None = None,
                 keep_decoded: bool = False) -> None:
        """`keep_decoded`: what is decoded is stored for later runs, and what earlier ones stored is used."""
        self.memory, self.mode = memory, mode
        self.cpu = cpu or bare()
        self.compiler: Compiler = compiler()
        self.compiler.progress = progress
        for name in BASICS:
            self.compiler.function(name)
        directory = self.compiler.cache.directory / "decoded"
        self.translator = Translator(memory, self.compiler, self.cpu,
                                     StoredPages(directory, self.cpu) if keep_decoded else None)
        self.runtime = np.zeros(run_slots.SLOTS, np.uint64)
        self.runtime[run_slots.STOP] = self.compiler.address("stop")
        self.runtime[run_slots.STALE] = self.compiler.address("stale")
        self.probes = 0             # address of the debugger's table (jit/probe_layout.py), or 0
        self.monitors = Monitors()
        self._calls: dict[str, ctypes._FuncPointer] = {}
        self.regions = Regions(self)
        self.run = self._callable("run")
        self.run_group: Callable[[int], int] = self._callable("run_group")
        self.select = self._callable("select")
        self.notice_due = self._callable("notice_due")
        self.translate = _ACCESS_CALL(self.compiler.function("translate"))
        self._walk_operand: Any = None
        self.note_write = _ACCESS_NOTE(self.compiler.function("note_write"))
        self.withdraw_writes = _PAGE_CALL(self.compiler.function("withdraw_writes"))

    def constants(self) -> dict[int, int]:
        """State fields that hold addresses shared by all planes."""
        translator = self.translator
        return {
            layout.PMAP: self.memory.map_block.address,
            layout.PMAP_PAGES: self.memory.top >> 12,
            layout.MONITORS: self.monitors.address,
            layout.CODE: translator.directory_block.address,
            layout.CODE_MAP: translator.decoded_block.address,
            layout.RUNTIME: self.runtime.ctypes.data,
            layout.HANDLERS: self.compiler.table_address,
            layout.PROBES: self.probes,
        }

    def _callable(self, name: str) -> ctypes._FuncPointer:
        known = self._calls.get(name)
        if known is None:
            known = self._calls[name] = _STATE_CALL(self.compiler.function(name))
        return known

    def call(self, name: str, plane: Plane) -> int:
        """Call a runtime function of one plane's state."""
        return self._callable(name)(plane.address)

    def stepper(self, rows: int, first: int, capacity: int) -> Callable[[int], int]:
        """A stand-in for `run_group` that writes rows (jit/stepping.py) to a host address."""
        native = _ACCESS_CALL(self.compiler.function("step_group"))
        return lambda group: native(group, rows, first, capacity)

    def walk_operand(self, plane: int, linear: int, tlb_set: int) -> int:
        """The guest's own translation of a data operand, in WALK_GPA (jit/tlb.py): an EXIT status."""
        if self._walk_operand is None:
            self._walk_operand = _ACCESS_NOTE(self.compiler.function("walk_operand"))
        status: int = self._walk_operand(plane, linear, tlb_set)
        return status

    def provide(self, slot: int) -> None:
        """Compile the runtime function of a slot that compiled code found empty."""
        self.runtime[slot] = self.compiler.function(run_slots.NAMES[slot])
