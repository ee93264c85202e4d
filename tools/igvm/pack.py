"""An SNP launch as an IGVM file."""

from __future__ import annotations

from emu.planes.snp.launch import Launch, PageType
from tools.igvm.writer import IgvmWriter

_UNMEASURED, _SECRETS, _CPUID = 2, 1, 2         # a flag, and two data types


def pack(launch: Launch) -> bytes:
    """A file that launches the same pages in the same order. Pages of zeros of their own type have none there: they
    become normal ones, and are measured as such."""
    file = IgvmWriter(launch.policy)
    for page in launch.pages:
        if page.type is PageType.VMSA:
            file.vmsa(page.gpa, page.contents, page.vcpu)
        elif page.type in (PageType.SECRETS, PageType.CPUID):
            file.page(page.gpa, page.data, kind=_SECRETS if page.type is PageType.SECRETS else _CPUID)
        else:
            file.page(page.gpa, page.data, flags=_UNMEASURED if page.type is PageType.UNMEASURED else 0)
    return bytes(file)
