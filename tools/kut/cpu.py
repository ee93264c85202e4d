"""QEMU's -cpu as Strata's --cpu: the model of that name or the nearest one, and what Strata knows of the rest."""

from __future__ import annotations

from emu.isa.extensions import BY_NAME, OFFERABLE
from emu.isa.models import AMD, INTEL, MODELS

DEFAULT = "qemu64"              # QEMU's own
NEAREST = {"host": "max", "kvm64": "qemu64", "Opteron_G1": "qemu64", "IvyBridge": "x86-64-v2"}


def wants_hyperv(text: str | None) -> bool:
    """Whether -cpu asks for Hyper-V's interface: hv_passthrough, hv-synic and the like."""
    return any(change.lstrip("+").startswith(("hv_", "hv-")) for change in (text or "").split(",")[1:])


def cpu_option(text: str | None) -> tuple[str, list[str]]:
    """What to give to --cpu, and the parts of `text` that were left out."""
    name, *changes = (text or DEFAULT).split(",")
    model = name if name in MODELS else NEAREST.get(name, "max")
    left_out = [] if model == name else [name]
    kept = [model]
    for change in changes:
        extension = change[1:].replace("-", "_").replace(".", "_")
        known = change[:1] == "-" and extension in BY_NAME or change[:1] == "+" and extension in OFFERABLE
        if known or change in (f"vendor={AMD}", f"vendor={INTEL}"):
            kept.append(change)
        else:
            left_out.append(change)
    return ",".join(kept), left_out
