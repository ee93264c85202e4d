"""The compiled engine's blocks as state: which words of a register file, an FPU file and a group are the guest's.

A field is state unless it is named here: host addresses, what lives only inside an instruction or a time slice, and
what decides speed alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from emu.group import Group
from emu.plane import Plane
from jit import fpu_layout, group_layout, layout

HOST = ("self", "tlb", "shadow_tlb", "jumps", "fpu", "tlb_sets", "pmap", "pmap_pages", "code", "code_map", "runtime",
        "handlers", "probes", "vcpu", "plane", "denials", "monitors", "nested", "nested_pages",
        "group")
INSIDE = ("tmp", "page_rip", "slow_value", "exit", "exit_uop", "next_rip", "resume", "alone", "probe_hits", "walk_gpa",
          "walk_rights", "io_kind", "io_address", "io_size", "io_value", "io_done", "io_next", "io_log", "smc_pass",
          "smc_gpa", "smc_second", "arg", "desc", "desc_at", "frame", "stk_sp", "stk_width", "stk_selector", "stk_base",
          "stk_limit", "stk_attr", "stk_error", "no_trap", "budget", "rep_left", "icount", "tsc_base", "fault_ext",
          "denied_gpa", "denied_access", "denied_how", "denied_linear", "trapped", "branch_at")
SPEED = ("sample", "sample_base", "heat_limit", "keys_used", "keys_rights", "wp_ignored", "fills", "filled")
FPU_INSIDE = ("vector_tmp", "vector_buffer", "slow_result", "fx_image", "vector_zero", "opmask_tmp", "no_mask",
              "kept_mxcsr")
FAULT = ("fault_vector", "fault_error", "fault_has_error", "fault_address", "fault_kind")    # only while one is pending
GROUP_HOST = (group_layout.COUNT, group_layout.INTERFACE, group_layout.SHARED_COUNT,
              *range(group_layout.SHARED, group_layout.SHARED + 16 * group_layout.MAX_SHARED, 8),
              group_layout.SCRIPT_CHOOSE, group_layout.SCRIPT_REQUEST, group_layout.SCRIPT_FUEL,
              group_layout.SCRIPT_SPENT,
              group_layout.RING, group_layout.RING_RECORDS, group_layout.SLICE_END,
              *range(group_layout.VMSAS, group_layout.VMSAS + 8 * group_layout.MAX_PLANES, 8),
              *range(group_layout.FILES, group_layout.FILES + 8 * group_layout.MAX_PLANES, 8))


def _words(fields: dict[str, layout.Field], excluded: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Numbers of the 8-byte words of all fields but the excluded ones."""
    found = [np.arange(f.offset // 8, f.offset // 8 + f.count) for name, f in fields.items() if name not in excluded]
    return np.concatenate(found)


FILE_WORDS = _words(layout.FIELDS, HOST + INSIDE + SPEED + FAULT)
FAULT_WORDS = _words({name: layout.FIELDS[name] for name in FAULT}, ())
FPU_WORDS = _words(fpu_layout.FPU_FIELDS, FPU_INSIDE)
GROUP_WORDS = np.array([at // 8 for at in range(0, group_layout.GROUP_BYTES, 8) if at not in GROUP_HOST])


def layout_digest() -> str:
    """A digest of what the words of a saved state mean: it differs where two versions of Strata differ in that."""
    fields = [(name, f.offset, f.count) for table in (layout.FIELDS, fpu_layout.FPU_FIELDS)
              for name, f in table.items()]
    words = [FILE_WORDS.tolist(), FPU_WORDS.tolist(), GROUP_WORDS.tolist()]
    return hashlib.blake2b(repr((fields, words)).encode(), digest_size=8).hexdigest()


def check(group: bytes, planes: list[dict[str, Any]]) -> None:
    """ValueError: these cannot be the registers of a vCPU, and compiled code would go astray with them."""
    if len(group) != 8 * len(GROUP_WORDS) or not 0 < len(planes) <= group_layout.MAX_PLANES:
        raise ValueError("planes")
    active = np.frombuffer(group, np.uint64)[GROUP_WORDS.tolist().index(group_layout.ACTIVE // 8)]
    if active >= len(planes):
        raise ValueError("active plane")
    tlb_set = FILE_WORDS.tolist().index(layout.TLB_SET // 8)
    for plane in planes:
        if len(plane["file"]) != 8 * len(FILE_WORDS) or len(plane["fpu"]) != 8 * len(FPU_WORDS) \
                or len(plane["fault"]) not in (0, 8 * len(FAULT_WORDS)) or plane["fpu_owner"] not in range(len(planes)):
            raise ValueError("registers")
        if np.frombuffer(plane["file"], np.uint64)[tlb_set] >= layout.TLB_SETS:
            raise ValueError("TLB set")


def _view(words: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(words, np.uint64)


def save_plane(plane: Plane, planes: list[Plane]) -> dict[str, Any]:
    """A plane's registers. `fpu` is the number of the plane whose FPU file it works on."""
    words = _view(plane.words)
    owner = next(p.number for p in planes if p.fpu_block.address == plane.get(layout.FPU))
    fault = words[FAULT_WORDS].tobytes() if plane.get(layout.FAULT_PENDING) else b""
    fpu = _view(plane.fpu_block.view)[FPU_WORDS].tobytes()
    return {"file": words[FILE_WORDS].tobytes(), "fault": fault, "fpu_owner": owner, "fpu": fpu}


def load_plane(plane: Plane, planes: list[Plane], state: dict[str, Any]) -> None:
    """Put a plane's registers back. The caller flushes its TLBs."""
    words = _view(plane.words)
    words[FILE_WORDS] = np.frombuffer(state["file"], np.uint64)
    words[FAULT_WORDS] = np.frombuffer(state["fault"], np.uint64) if state["fault"] else 0
    _view(plane.fpu_block.view)[FPU_WORDS] = np.frombuffer(state["fpu"], np.uint64)
    plane.use_fpu(planes[state["fpu_owner"]].fpu_block.address)
    for offset in (layout.RESUME, layout.IO_DONE, layout.IO_NEXT, layout.SMC_PASS, layout.PROBE_HITS, layout.BUDGET):
        plane.set(offset, 0)
    base = plane.get(layout.SETS) + plane.get(layout.TLB_SET) * layout.SET_BYTES
    plane.set(layout.TLB, base)
    plane.set(layout.JUMPS, base + layout.JUMP_CACHE)
    shadow = layout.SET_SHADOW_USER if plane.get(layout.CPL) == 3 else layout.SET_SHADOW
    plane.set(layout.SHADOW_TLB, plane.get(layout.SETS) + shadow * layout.SET_BYTES)


def save_group(group: Group) -> bytes:
    """Which planes there are, and which runs."""
    return _view(group.words)[GROUP_WORDS].tobytes()


def load_group(group: Group, state: bytes) -> None:
    """The group has as many planes as when its state was saved."""
    _view(group.words)[GROUP_WORDS] = np.frombuffer(state, np.uint64)
