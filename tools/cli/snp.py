"""`strata snp`: what can be known of an SEV-SNP guest without running it."""
import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tools.cli.options import Parser, size

BAD_INPUT = 126

EPILOG = """\
FILE is what `strata run --planes snp` takes: an IGVM file, OVMF with SNP metadata, or a program or kernel that starts
directly. The measurement is what an attestation report of the guest says (MEASUREMENT): SHA-384 over every page in the
order in which it is loaded; --pages lists each page with the digest after it. For OVMF it depends on the number of
vCPUs, their model and SEV_FEATURES; in an IGVM file all of that is in the file. pack writes an IGVM file that launches
the same; before a kernel it puts what firmware would do first, which is to accept the rest of memory (as much as --mem
says) and to set the MTRRs, so that such a file has a measurement of its own. attacks lists what hypervisors of
docs/examples/hypervisors do to a guest with an SVSM, and what comes of it; it runs the tests, in a checkout.

examples:
  strata snp measure svsm.igvm
  strata snp measure "$(strata fetch ovmf)" --vcpus 4 --cpu EPYC-Genoa
  strata snp measure svsm.igvm --pages
  strata snp measure svsm.igvm --json
  strata snp pack firmware/build/hello.elf --output hello.igvm
  strata snp pack vmlinuz --initrd shell.cpio --append console=ttyS0 --mem 256M --output linux.igvm
  strata snp measure vmlinuz --initrd shell.cpio --append console=ttyS0 --mem 256M
  strata snp attacks
  strata snp attacks --table docs/snp.md
"""


def parser() -> Parser:
    """The parser of `strata snp`."""
    p = Parser("strata snp", "Compute the launch measurement of an SEV-SNP guest, or write it as an IGVM file.", EPILOG)
    p.add_argument("what", choices=("measure", "pack", "attacks"), help="print the measurement, write an IGVM "
                   "file, or list what becomes of hypervisors that lie")
    p.add_argument("file", nargs="?", metavar="FILE", help="an image, or a firmware ROM with SNP metadata")
    p.add_argument("--output", "-o", metavar="F", help="the IGVM file to write, for pack")
    p.add_argument("--mem", type=size, default=1 << 30, metavar="N", help="the guest's RAM (default: 1G)")
    p.add_argument("--initrd", metavar="F", help="a kernel's initial RAM disk, or modules")
    p.add_argument("--append", default="", metavar="LINE", help="its command line")
    p.add_argument("--vcpus", type=_vcpus, default=1, metavar="N", help="how many vCPUs it has (default: 1)")
    p.add_argument("--cpu", default="max", metavar="MODEL", help="the vCPUs' model (default: max)")
    p.add_argument("--signature", type=_number, metavar="N",
                   help="EAX of their CPUID function 1 instead, such as 0x800f12")
    p.add_argument("--features", type=_number, default=1, metavar="N",
                   help="SEV_FEATURES, likewise (default: 1, SNP alone, as strata run has it)")
    p.add_argument("--pages", action="store_true", help="list the pages, each with the digest after it")
    p.add_argument("--no-run", action="store_true", help="for attacks: do not run the tests that show them")
    p.add_argument("--table", metavar="F", help="for attacks: write the table into the page F, docs/snp.md")
    p.add_argument("--json", action="store_true", help="print JSON instead")
    return p


def _vcpus(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 255")
    return int(text)


def _number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a 64-bit number")
    return number


def _launch(args: argparse.Namespace) -> Any:
    """The launch of the file; ImageError or ValueError for bad input."""
    from emu.isa import cpu as cpus
    from emu.isa.cpuid import Cpuid
    from emu.load.files import read_file
    from emu.load.image import load_image
    from emu.load.sniff import sniff
    from emu.planes.snp.options import C_BIT
    from emu.planes.snp.plan import plan
    kind = sniff(args.file, read_file(args.file)) or "bios"
    image = load_image(args.file, kind=kind, memory=args.mem, initrd=args.initrd, append=args.append, vcpus=args.vcpus)
    signature = Cpuid(cpus.parse(args.cpu), 0, args.vcpus).signature if args.signature is None else args.signature
    launch = plan(image, memory=args.mem, vcpus=args.vcpus, signature=signature, features=args.features, c_bit=C_BIT)
    if args.what == "pack" and image.kind == "linux":
        from tools.igvm.handover import with_handover
        launch = with_handover(launch, args.file, args.mem, 1 << C_BIT)
    return launch


def measured(launch: Any) -> dict[str, Any]:
    """The measurement, the policy, how many pages of each type there are, and every page."""
    from emu.planes.snp import measurement
    digest, pages = measurement.INITIAL, []
    for page in launch.pages:
        digest = measurement.extend(digest, page)
        pages.append({"gpa": page.gpa, "type": page.type.name.lower(), "digest": digest.hex()})
    expected = launch.id_block.launch_digest.hex() if launch.id_block else None
    return {"measurement": digest.hex(), "policy": launch.policy, "expected": expected,
            "counts": dict(Counter(page["type"] for page in pages)), "pages": pages}


def main(argv: list[str]) -> int:
    """Run `strata snp`; 0, 126 with one line for bad input, or 1 if an ID block expects another measurement."""
    args = parser().parse_args(argv)
    if args.what == "attacks" and args.file is None:
        from tools.cli import snp_attacks
        return snp_attacks.main(not args.no_run, args.json, args.table)
    if args.what == "attacks" or args.file is None:
        parser().error("measure and pack take one FILE, attacks none")
    if (args.what == "pack") != (args.output is not None):
        parser().error("--output names the file that pack writes")
    from emu.load.model import ImageError
    try:
        launch = _launch(args)
        if args.output is not None:
            return _pack(launch, args.output)
    except (ImageError, ValueError) as error:
        print(f"strata snp: {error}", file=sys.stderr)
        return BAD_INPUT
    return _show(args, measured(launch))


def _pack(launch: Any, output: str) -> int:
    from tools.igvm.pack import pack
    try:
        Path(output).write_bytes(pack(launch))
    except OSError as error:
        raise ValueError(f"--output {output}: {error.strerror}") from error
    return 0


def _show(args: argparse.Namespace, found: dict[str, Any]) -> int:
    pages = found.pop("pages")
    if args.json:
        if args.pages:
            found["pages"] = pages
        json.dump({"file": args.file, **found}, sys.stdout, indent=1)
        print()
    else:
        for page in pages if args.pages else ():
            print(f"{page['gpa']:#014x} {page['type']:<10} {page['digest']}")
        print(found["measurement"])
    if found["expected"] not in (None, found["measurement"]):
        print(f"strata snp: {args.file}: the ID block expects {found['expected']}", file=sys.stderr)
        return 1
    return 0
