"""What can be fetched: names, the Debian packages that have them, and which file of the package is wanted."""

from dataclasses import dataclass


class FetchError(Exception):
    """Fetching failed; ``str(e)`` is one line that says what and what to do about it."""


@dataclass(frozen=True)
class Guest:
    """A file to fetch. ``member``: a regular expression for its path in the package, without the leading "./".

    ``depends``: for a metapackage, a regular expression for the dependency that has the file.
    """

    name: str
    package: str
    member: str
    file: str
    about: str
    depends: str | None = None


GUESTS = {guest.name: guest for guest in (
    Guest("seabios", "seabios", r"usr/share/seabios/bios-256k\.bin", "bios-256k.bin", "legacy PC firmware, for --bios"),
    Guest("memtest86+", "memtest86+", r"boot/(memtest86\+x64|mt86\+x64)\.bin", "memtest86+x64.bin",
          "memory tester, a bzImage"),
    Guest("linux-cloud", "linux-image-cloud-amd64", r"boot/vmlinuz-[^/]+", "vmlinuz", "Debian's Linux kernel for VMs",
          depends=r"linux-image-\d\S*-cloud-amd64"),
    Guest("linux", "linux-image-amd64", r"boot/vmlinuz-[^/]+", "vmlinuz", "Debian's Linux kernel for all machines",
          depends=r"linux-image-\d[\d.+-]*-amd64"),
    Guest("busybox", "busybox-static", r"(usr/)?bin/busybox", "busybox", "static user-space tools, for an initramfs"),
    Guest("xen", "xen-system-amd64", r"boot/xen-[\d.]+-amd64\.gz", "xen.gz", "the Xen hypervisor, a multiboot2 kernel",
          depends=r"xen-hypervisor-\d[\d.]*-amd64"),
    Guest("ovmf", "ovmf", r"usr/share/ovmf/OVMF\.fd", "OVMF.fd", "UEFI firmware, for --bios"),
)}


def guest(name: str) -> Guest:
    """The entry called ``name``; FetchError if there is none."""
    try:
        return GUESTS[name]
    except KeyError:
        raise FetchError(f"no guest named {name!r}; there are: {', '.join(GUESTS)}") from None
