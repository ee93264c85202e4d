"""`strata snp`: what can be known of an SEV-SNP guest without running it."""
import argparse
import json
import sys
from collections import Counter
from typing import Any

from tools.cli.options import Parser, size

BAD_INPUT = 126

EPILOG = """\
FILE is an IGVM file, or OVMF with SNP metadata. The measurement is what an attestation report of the guest says
(MEASUREMENT): SHA-384 over every page in the order in which it is loaded. For OVMF it depends on the number of vCPUs,
their model and SEV_FEATURES; in an IGVM file all of that is in the file.
--pages lists each page with the digest after it.

examples:
  strata snp measure svsm.igvm
  strata snp measure "$(strata fetch ovmf)" --vcpus 4 --cpu EPYC-Genoa
  strata snp measure svsm.igvm --pages
  strata snp measure svsm.igvm --json
"""


def parser() -> Parser:
    """The parser of `strata snp`."""
    p = Parser("strata snp", "Compute the launch measurement of an SEV-SNP guest, as its firmware does.", EPILOG)
    p.add_argument("what", choices=("measure",), help="what to do")
    p.add_argument("file", metavar="FILE", help="an IGVM file, or a firmware ROM with SNP metadata")
    p.add_argument("--mem", type=size, default=1 << 30, metavar="N", help="the guest's RAM (default: 1G)")
    p.add_argument("--vcpus", type=_vcpus, default=1, metavar="N", help="how many vCPUs it has (default: 1)")
    p.add_argument("--cpu", default="max", metavar="MODEL", help="the vCPUs' model, for OVMF (default: max)")
    p.add_argument("--signature", type=_number, metavar="N",
                   help="EAX of their CPUID function 1 instead, such as 0x800f12")
    p.add_argument("--features", type=_number, default=1, metavar="N", help="SEV_FEATURES, for OVMF (default: 1, SNP)")
    p.add_argument("--pages", action="store_true", help="list the pages, each with the digest after it")
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
    from emu.load import igvm, igvm_file, ovmf
    from emu.load.files import read_file
    from emu.load.model import Request
    data = read_file(args.file)
    if data[:4] == igvm_file.MAGIC:
        return igvm.snp_launch(Request(args.file, data, args.mem, vcpus=args.vcpus))
    signature = Cpuid(cpus.parse(args.cpu), 0, args.vcpus).signature if args.signature is None else args.signature
    return ovmf.snp_launch(args.file, data, memory=args.mem, vcpus=args.vcpus, signature=signature,
                           features=args.features)


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
    from emu.load.model import ImageError
    try:
        found = measured(_launch(args))
    except (ImageError, ValueError) as error:
        print(f"strata snp: {error}", file=sys.stderr)
        return BAD_INPUT
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
