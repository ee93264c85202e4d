"""`strata run`: one guest, from an image to an exit status.

Exit statuses: (V << 1) | 1 when the guest writes V to port 0xf4; 124 out of time or instructions; 125 the guest crashed
or needed something unimplemented; 126 bad input; 130 stopped from the keyboard. All but the guest's own come with one
line on standard error that says what happened, where, and what to try.
"""
import argparse
import os
import sys
from typing import Any

from tools.cli import available
from tools.cli.options import Parser, address, count, quantum, seconds, seed, size, vcpus

BAD_INPUT = 126
KINDS = ("auto", "linux", "multiboot", "multiboot2", "pvh", "elf", "igvm", "flat", "bios")

EPILOG = """\
The guest's serial port (COM1) is standard input and output; everything of Strata's own goes to standard error.
Keys, on a terminal: Ctrl-C or Ctrl-A x stops the run, Ctrl-A c sends Ctrl-C, Ctrl-A Ctrl-A sends Ctrl-A.

exit status:
  (V << 1) | 1   the guest wrote V to port 0xf4       125   it crashed, or needs what is not implemented
  124            out of time or instructions          126   bad input: an image or an option
  130            stopped from the keyboard

examples:
  strata run firmware/build/hello.elf
  strata run firmware/build/vsm_call.elf --planes vsm --report --json result.json
  strata run firmware/build/three_levels.elf --planes kvm --policy mpp-1 --report
  strata run firmware/build/snp_services.elf --planes snp --vcpus 2
  strata run firmware/build/snp_hostile.elf --planes snp --hypervisor docs/examples/hypervisors/skip_svsm.py
  strata run code.bin --load 0x7c00 --mode 16 --max-insns 1e6
  strata run --bios bios-256k.bin --max-insns 10e6
  strata run vmlinuz --initrd initrd.gz --append "console=ttyS0" --mem 512M --timeout 60
  strata run vmlinuz --initrd initrd.gz --append "console=ttyS0" --planes vsm --vtl1 firmware/build/vsm_monitor.elf
"""


def parser() -> Parser:
    """The parser of `strata run`."""
    p = Parser("strata run", "Run a guest image: a multiboot, PVH or plain ELF, a flat binary, Linux, a ROM.",
               EPILOG)
    guest_options(p)
    limits = p.add_argument_group("limits")
    limits.add_argument("--max-insns", type=count, metavar="N", help="stop after exactly N instructions")
    limits.add_argument("--timeout", type=seconds, metavar="S", help="stop after S seconds of the host's time")
    output = p.add_argument_group("output")
    output.add_argument("--report", action="store_true", help="say on standard error what ran and what switched")
    output.add_argument("--json", metavar="F", help="write the result to the file F")
    output.add_argument("--trace", metavar="F", help="write a trace to the file F")
    return p


def guest_options(p: Parser) -> None:
    """The image and the machine that it runs on."""
    p.add_argument("image", nargs="?", metavar="IMAGE", help="what to run (none is needed with --bios)")
    guest = p.add_argument_group("guest")
    guest.add_argument("--kind", choices=KINDS, default="auto", help="what IMAGE is, instead of looking")
    guest.add_argument("--load", type=address, metavar="ADDR", help="where a flat binary goes, and starts")
    guest.add_argument("--mode", type=int, choices=(16, 32, 64), help="how a flat binary starts")
    guest.add_argument("--initrd", metavar="F",
                       help="Linux's initial RAM disk, or boot modules for multiboot and PVH: FILE ARGS,FILE ARGS")
    guest.add_argument("--append", default="", metavar="S", help="the command line that the guest sees")
    guest.add_argument("--vtl1", metavar="F", help="with --planes vsm: a 64-bit ELF image that runs first, in VTL1")
    guest.add_argument("--vtl2", metavar="F", help="the same in VTL2, which needs --policy ms-vtl2 or kut-vtl2")
    guest.add_argument("--bios", metavar="F", help="a firmware ROM, placed below 4 GiB and 1 MiB")
    machine = p.add_argument_group("machine")
    machine.add_argument("--planes", choices=("none", "kvm", "vsm", "snp"), default="none",
                         help="which design of privilege planes the guest finds (default: none)")
    machine.add_argument("--policy", metavar="NAME|FILE", help="who runs when, for designs that leave it open")
    machine.add_argument("--vcpus", type=vcpus, default=1, metavar="N", help="virtual CPUs (default: 1)")
    machine.add_argument("--mem", type=size, default="256M", metavar="SIZE", help="RAM: 256M, 1G... (default: 256M)")
    machine.add_argument("--cpu", default="max", metavar="MODEL",
                         help="CPU model, with ,+EXTENSION or ,-EXTENSION; strata info --cpu list (default: max)")
    machine.add_argument("--engine", choices=("auto", "interp", "blocks"), default="auto",
                         help="auto compiles what is hot; interp never compiles, blocks always (default: auto)")
    machine.add_argument("--seed", type=seed, default=0, metavar="N", help="what RDRAND and the like start from")
    machine.add_argument("--quantum", type=quantum, default=10_000, metavar="N",
                         help="instructions each of several vCPUs runs in turn, 1 to 1e6 (default: 10000)")
    machine.add_argument("--paravirt", choices=("none", "kvm"), default="none",
                         help="which hypervisor's hypercalls the guest finds (default: none)")
    machine.add_argument("--reboot", action="store_true", help="a reset starts the guest again; else it ends the run")
    machine.add_argument("--disk", action="append", metavar="F",
                         help="a disk image as a virtio block device; may be given again. The file is only read: what "
                              "the guest writes is gone when the run ends")
    machine.add_argument("--virtio-console", action="store_true",
                         help="a virtio console, which shares standard output with COM1 and takes standard input")
    machine.add_argument("--device", action="append", metavar="NAME", choices=available.devices(),
                         help="plug in QEMU's educational PCI device, edu, or an IOMMU, intel-iommu; may be given "
                         "again")
    machine.add_argument("--hypervisor", metavar="F", help="a Python file whose class stands in for --planes snp's own "
                         "hypervisor, piece by piece; docs/examples/hypervisors has some that lie")
    machine.add_argument("--test-device", action="store_true",
                         help="the ports and memory that suites for QEMU's pc-testdev use")


def unusable(args: argparse.Namespace) -> str | None:
    """What is wrong with the options taken together, in one line, or None."""
    if args.image is None and args.bios is None:
        return "nothing to run: name an IMAGE, or a ROM with --bios"
    # --initrd may be a list, for the loader
    for option, path in (("IMAGE", args.image), ("--bios", args.bios), ("--vtl1", args.vtl1), ("--vtl2", args.vtl2)):
        if path is not None and (why := _unreadable(path)):
            return f"{option} {path}: {why}"
    for option, path in (("--json", getattr(args, "json", None)), ("--trace", getattr(args, "trace", None))):
        if path == "-":
            return f"{option} -: standard output is the guest's serial port; name a file"
        if path is not None and (why := _unwritable(path)):
            return f"{option} {path}: {why}"
    for option, path in (("--vtl1", args.vtl1), ("--vtl2", args.vtl2)):
        if path is not None and (args.planes != "vsm" or args.bios is not None):
            return f"{option} {path}: needs --planes vsm, and an IMAGE instead of --bios"
    if args.hypervisor is not None and args.planes != "snp":
        return f"--hypervisor {args.hypervisor}: only --planes snp has a hypervisor that can be replaced"
    if args.image is None and (args.load is not None or args.mode is not None):
        return "--load and --mode say where and how a flat IMAGE starts, and there is no IMAGE"
    if args.load is not None and args.load >= args.mem:
        return f"--load {args.load:#x}: beyond the end of RAM at {args.mem:#x}; give more with --mem"
    if args.planes != "none" and args.planes not in available.planes():
        return f"--planes {args.planes}: not available in this version; available: {', '.join(available.planes())}"
    return _unusable_policy(args.policy, args.planes)


def _unusable_policy(policy: str | None, planes: str) -> str | None:
    if policy is None:
        return None
    if planes == "none":
        return f"--policy {policy}: without planes there is nothing to decide; choose a design with --planes"
    known = available.policies()
    if not known:
        return f"--policy {policy}: this version has no policies to choose from; leave it out"
    if not available.is_policy(policy) and not os.path.isfile(policy):
        return f"--policy {policy}: neither a policy nor a file; policies: {', '.join(known)}"
    return None


def _unreadable(path: str) -> str | None:
    if not os.path.exists(path):
        return "no such file"
    if os.path.isdir(path):
        return "is a directory"
    return None if os.access(path, os.R_OK) else "not readable"


def _unwritable(path: str) -> str | None:
    if os.path.isdir(path):
        return "is a directory"
    where = path if os.path.exists(path) else os.path.dirname(path) or "."
    if not os.path.isdir(os.path.dirname(path) or "."):
        return "no such directory"
    return None if os.access(where, os.W_OK) else "not writable"


def say(line: str) -> None:
    """One line of Strata's own, on standard error."""
    print(f"strata: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Run `strata run` with these arguments; returns the exit status."""
    args = parser().parse_args(argv)
    return run(args)


def run(args: argparse.Namespace, report_to: Any = None) -> int:
    """Run one guest as `args` (of `parser()`) say. The report, if asked for, goes to the text stream `report_to`,
    standard error unless given."""
    why = unusable(args)
    if why:
        say(why)
        return BAD_INPUT
    from tools.cli.session import BadInput, Session
    session = Session(args, say)
    try:
        result = session.run()
    except BadInput as error:
        say(str(error))
        result = {"status": BAD_INPUT, "reason": "bad-input", "message": str(error), "image": args.image or args.bios}
    if args.json:
        from tools.cli.result import write
        try:
            write(args.json, result)
        except OSError as error:
            say(f"--json {args.json}: {error.strerror}")
            return BAD_INPUT
    if args.report and result["status"] != BAD_INPUT:
        from tools.report.render import print_report
        print_report(result, report_to or sys.stderr)
    return result["status"]
