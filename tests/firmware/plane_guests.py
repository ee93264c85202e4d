"""Images in firmware/build that need privilege planes."""

from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "firmware" / "build"
PLANE_GUESTS = {path.stem for path in BUILD.glob("*.elf") if path.stem.startswith(("vsm_", "kvm_", "snp_"))}
PLANE_GUESTS |= {path.stem for path in (BUILD.parent / "planes").glob("*.c")}
