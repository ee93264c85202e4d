"""Boots one Linux guest until its init is ready and prints what that took: the child process of `strata bench boot`.

A process of its own, so that its start-up counts as another emulator's does.
"""
import json
import sys

from tools.cli.garbage import collect_rarely
from tools.initramfs.build import READY

TIME_LIMIT = 600.0


def main(kernel: str, initrd: str, append: str, engine: str, vcpus: int) -> int:
    """Print {"ready", "instructions", "reason"} as JSON; 0 if init got there."""
    from emu.machine import Machine
    seen = bytearray()

    def serial_out(data: bytes) -> None:
        seen.extend(data)
        if seen.endswith(b"\n"):
            if READY.encode() in seen:
                machine.stop("power-off", "ready")
            seen.clear()

    machine = Machine(memory=256 << 20, vcpus=vcpus, engine=engine, serial_out=serial_out,
                      report=lambda line: print(f"strata: {line}", file=sys.stderr))
    machine.load(kernel, initrd=initrd, append=append)
    stop = machine.run(timeout=TIME_LIMIT)
    ready = stop.message == "ready"
    print(json.dumps({"ready": ready, "instructions": machine.icount, "reason": stop.message}))
    return 0 if ready else 1


if __name__ == "__main__":
    collect_rarely()
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
