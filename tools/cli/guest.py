"""What `guest_options` of tools/cli/run.py say, done to a machine: the same for every command that runs a guest."""
import argparse
from typing import Any


def machine_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `Machine`, but for the callbacks."""
    return {"memory": args.mem, "vcpus": args.vcpus, "cpu": args.cpu, "planes": args.planes, "policy": args.policy,
            "engine": args.engine, "seed": args.seed, "quantum": args.quantum, "test_device": args.test_device,
            "disks": args.disk or (), "virtio_console": args.virtio_console, "devices": args.device or (),
            "paravirt": args.paravirt, "hypervisor": args.hypervisor}


def load_guest(machine: Any, args: argparse.Namespace) -> None:
    """Load the image. ImageError and OSError are the caller's."""
    machine.restarts = args.reboot
    machine.load(args.image, kind=args.kind, load_address=args.load, mode=args.mode, initrd=args.initrd,
                 append=args.append, bios=args.bios, vtl1=args.vtl1, vtl2=args.vtl2)
