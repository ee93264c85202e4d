"""Privilege planes: the designs that a machine can offer its guest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.machine import Machine

AVAILABLE = ("none",)
POLICIES: tuple[str, ...] = ()


def create(name: str, machine: Machine, policy: str | None) -> Any:
    """The plane model of a machine, or None without planes. ValueError: a policy where there is nothing to decide."""
    if name == "none":
        if policy is not None:
            raise ValueError(f"policy {policy!r}: without planes there is nothing to decide")
        return None
    raise ValueError(f"planes {name!r}: not one of {', '.join(AVAILABLE)}")
