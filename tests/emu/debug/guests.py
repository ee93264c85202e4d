"""Images for the debugger's tests: flat 64-bit code, and the VSM guest of firmware/."""
from pathlib import Path

from emu import Machine

VSM = Path(__file__).resolve().parents[3] / "firmware/build/vsm_call.elf"
AT = 0x10000
END = b"\xb0\x00\xe6\xf4"                       # mov al, 0; out 0xf4, al


def machine(code, path, **options):
    """A machine about to execute flat 64-bit code at AT."""
    path.write_bytes(code)
    m = Machine(memory=4 << 20, **options)
    m.load(path, load_address=AT, mode=64)
    return m


def vsm(**options):
    """The VSM guest, which switches planes some 2,000 times."""
    m = Machine(memory=8 << 20, planes="vsm", **options)
    m.load(VSM)
    return m
