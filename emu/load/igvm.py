"""Loading an IGVM file for SEV-SNP: its directives become a launch, page by page in the file's order."""

from __future__ import annotations

from emu.load import igvm_file as igvm
from emu.load import ram
from emu.load.igvm_file import Header, IgvmFile
from emu.load.igvm_parameters import PARAMETERS
from emu.load.layout import Layout
from emu.load.model import Image, ImageError, Request, Rom
from emu.load.vmsa_state import boot_state
from emu.planes.snp import cpuid_page, launch
from emu.planes.snp.launch import PAGE, IdBlock, Launch, LaunchPage, PageType

_SEV_SNP = 2                            # IgvmPlatformType
_SNP_VERSION = 1
_2M = 2 << 20
_IS_2MB, _UNMEASURED, _SHARED, _FLAGS = 1, 2, 4, 7
_NORMAL, _SECRETS, _CPUID, _CPUID_XF = range(4)
_FIRMWARE = 16 << 20                    # bytes of pages beside RAM
_MAX_AREA = 1 << 20                     # bytes of one parameter area or error range; no known file comes near


def load(request: Request) -> Image:
    """The image of an IGVM file, its `launch` and the first vCPU's state. ImageError names header and field."""
    if request.modules:
        raise request.error("initrd", "an IGVM file has no way to receive it")
    for option, given in (("load", request.load_address), ("mode", request.mode)):
        if given is not None:
            raise request.error(option, "an IGVM file says itself where it lies and how it starts")
    guest = snp_launch(request)
    contexts = guest.of_type(PageType.VMSA)
    first = min(contexts, key=lambda page: page.vcpu)
    layout, roms = Layout(request.path, request.memory), []
    for gpa, data in (*launch.runs(guest.pages), *guest.shared):
        # A firmware image just below 4 GiB is not in RAM; it is memory all the same.
        if ram.DEVICE_HOLE <= gpa and gpa + len(data) <= ram.FOUR_GIB:
            roms.append(Rom(gpa, data))
        else:
            layout.put(gpa, data, f"pages at {gpa:#x}")
    return Image("igvm", request.path, layout.segments(), boot_state(first.contents), roms=tuple(roms), launch=guest)


def snp_launch(request: Request) -> Launch:
    """What the file gives to the firmware. ImageError: it breaks a rule, whatever RAM there is."""
    return _Loader(request).launch()


class _Loader:
    """One pass over a file's headers."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.file = IgvmFile(request.path, request.data)
        self.reader = self.file.reader
        self.mask = self._platform()
        self.policy = launch.POLICY_DEFAULT
        self.pages: list[LaunchPage] = []
        self.shared: list[tuple[int, bytes]] = []
        self.errors: list[tuple[int, int]] = []
        self.id_block: IdBlock | None = None
        self.areas: dict[int, bytearray | None] = {}    # None: inserted, so gone
        self.taken: set[int] = set()                    # page numbers

    def launch(self) -> Launch:
        """All headers that are for SNP, taken in order."""
        for header in self.file.headers:
            if header.type != igvm.SUPPORTED_PLATFORM and self._applies(header):
                _ACTIONS[header.type](self, header)
        if not any(page.type is PageType.VMSA for page in self.pages):
            raise self.reader.error("VP_CONTEXT", "the file has none for SEV-SNP, so there is nothing to start")
        return Launch(tuple(self.pages), self.policy, tuple(self.shared), self.id_block, tuple(self.errors))

    def _applies(self, header: Header) -> bool:
        return "mask" not in header.values or bool(header["mask"] & self.mask)

    def _platform(self) -> int:
        """The compatibility mask of SEV-SNP."""
        found, known = 0, 0
        for header in self.file.headers:
            if header.type == igvm.SUPPORTED_PLATFORM:
                if header["mask"].bit_count() != 1 or header["mask"] & known:
                    raise self._error(header, "compatibility_mask", f"{header['mask']:#x}: one bit that no other has")
                known |= header["mask"]
                if header["platform"] == _SEV_SNP:
                    if header["version"] != _SNP_VERSION:
                        raise self._error(header, "platform_version", f"is {header['version']}, known is 1")
                    found = found or header["mask"]
            elif "mask" in header.values and header["mask"] & ~known:
                raise self._error(header, "compatibility_mask", f"{header['mask']:#x} has bits of no platform")
        if not found:
            raise self.reader.error("SUPPORTED_PLATFORM", "the file is not for SEV-SNP (platform type 2)")
        return found

    def _error(self, header: Header, field: str, rule: str) -> ImageError:
        return self.reader.error(header.field(field), rule)

    # --- initialization ----------------------------------------------------------------------------------------------

    def guest_policy(self, header: Header) -> None:
        """The guest's policy, which firmware checks."""
        fault = launch.policy_fault(header["policy"])
        if fault is not None:
            raise self._error(header, "policy", f"{header['policy']:#x}: {fault}")
        self.policy = header["policy"]

    def relocation(self, header: Header) -> None:
        """Relocation is an offer to the loader, which does not take it: the addresses in the file are free here."""

    # --- directives --------------------------------------------------------------------------------------------------

    def page_data(self, header: Header) -> None:
        """One page, or 512 of them that are measured one by one."""
        flags, gpa, kind = header["flags"], header["gpa"], header["data_type"]
        if flags & ~_FLAGS:
            raise self._error(header, "flags", f"{flags:#x} has reserved bits")
        if flags & _SHARED and (flags & _UNMEASURED or kind != _NORMAL):
            raise self._error(header, "flags", "a shared page is neither special nor measured")
        size = _2M if flags & _IS_2MB else PAGE
        self._take(header, gpa, size, align=size)
        offset = header["file_offset"]
        data = bytes(self.reader.span(offset, size, header.field("file_offset"))) if offset else b""
        if kind == _NORMAL and flags & _SHARED:
            self.shared.append((gpa, data or bytes(size)))
        elif kind == _NORMAL:
            measured = PageType.UNMEASURED if flags & _UNMEASURED else PageType.NORMAL
            self.pages += launch.split(gpa, data, measured) if data else launch.zeros(gpa, size, measured)
        elif kind in (_SECRETS, _CPUID, _CPUID_XF):
            if size != PAGE:
                raise self._error(header, "flags", "a special page has 4 KiB")
            if kind != _SECRETS and data:
                self._check_cpuid(header, data)
            self.pages.append(LaunchPage(gpa, PageType.SECRETS if kind == _SECRETS else PageType.CPUID, data))
        else:
            raise self._error(header, "data_type", f"is {kind}, known are 0 to {_CPUID_XF}")

    def _check_cpuid(self, header: Header, data: bytes) -> None:
        try:
            cpuid_page.unpack(data)
        except ValueError as error:
            raise self._error(header, "CPUID page", str(error)) from None

    def vp_context(self, header: Header) -> None:
        """A vCPU's VMSA; one at KVM's own address lies in no page of the guest's."""
        gpa, vcpu = header["gpa"], header["vp_index"]
        if any(page.type is PageType.VMSA and page.vcpu == vcpu for page in self.pages):
            raise self._error(header, "vp_index", f"{vcpu} has a context already")
        if vcpu >= self.request.vcpus:
            raise self._error(header, "vp_index", f"is {vcpu}, the machine has {self.request.vcpus} vCPUs")
        if gpa != launch.KVM_VMSA_GPA:
            self._take(header, gpa, PAGE)
        if not header["file_offset"]:
            raise self._error(header, "file_offset", "is 0: a VMSA of zeros cannot run")
        data = bytes(self.reader.span(header["file_offset"], PAGE, header.field("file_offset")))
        self.pages.append(LaunchPage(gpa, PageType.VMSA, data, vcpu=vcpu))

    def parameter_area(self, header: Header) -> None:
        """A new area, with contents of the file's or zeros."""
        number, size, offset = header["area"], header["size"], header["file_offset"]
        if number in self.areas:
            raise self._error(header, "parameter_area_index", f"{number} was used before")
        if not size or size % PAGE or size > _MAX_AREA:
            raise self._error(header, "number_of_bytes", f"is {size:#x}, must be pages, at most {_MAX_AREA:#x}")
        data = self.reader.span(offset, size, header.field("file_offset")) if offset else bytes(size)
        self.areas[number] = bytearray(data)

    def parameter(self, header: Header) -> None:
        """A value that the loader knows goes into an area."""
        area, offset = self._area(header), header["byte_offset"]
        if header.type not in PARAMETERS:
            raise self._error(header, "type", "Strata cannot give this parameter")
        value = PARAMETERS[header.type](self.request)
        if offset + len(value) > len(area):
            raise self._error(header, "byte_offset",
                              f"{len(value):#x} bytes at {offset:#x} do not fit the area's {len(area):#x}")
        area[offset:offset + len(value)] = value

    def parameter_insert(self, header: Header) -> None:
        """An area becomes unmeasured pages, and is used up."""
        area = self._area(header)
        self._take(header, header["gpa"], len(area))
        self.pages += launch.split(header["gpa"], bytes(area), PageType.UNMEASURED)
        self.areas[header["area"]] = None

    def _area(self, header: Header) -> bytearray:
        area = self.areas.get(header["area"])
        if area is None:
            state = "was inserted already" if header["area"] in self.areas else "does not exist"
            raise self._error(header, "parameter_area_index", f"area {header['area']} {state}")
        return area

    def required_memory(self, header: Header) -> None:
        """The guest does not work without RAM there."""
        gpa, size = header["gpa"], header["size"]
        if gpa % PAGE or size % PAGE:
            raise self._error(header, "gpa", f"{size:#x} bytes at {gpa:#x} are not whole pages")
        if not any(part.base <= gpa and gpa + size <= part.end for part in ram.loadable(self.request.memory)):
            raise self._error(header, "gpa", f"the guest needs RAM at {gpa:#x}-{gpa + size - 1:#x}; --mem is too small")

    def error_range(self, header: Header) -> None:
        """Memory for the guest to report errors in, shared from the start."""
        if header["size"] > _MAX_AREA:
            raise self._error(header, "size_bytes", f"is {header['size']:#x}, at most {_MAX_AREA:#x} are accepted")
        self._take(header, header["gpa"], header["size"])
        self.shared.append((header["gpa"], bytes(header["size"])))
        self.errors.append((header["gpa"], header["size"]))

    def snp_id_block(self, header: Header) -> None:
        """What SNP_LAUNCH_FINISH checks the measurement and policy against."""
        if self.id_block is not None:
            raise self._error(header, "compatibility_mask", "the file has another ID block")
        self.id_block = IdBlock(
            header.raw("launch_digest"), header.raw("family_id"), header.raw("image_id"), header["version"],
            header["guest_svn"], header["id_key_algorithm"], header["author_key_algorithm"],
            header.raw("id_key_signature"), header.raw("id_public_key"), header.raw("author_key_signature"),
            header.raw("author_public_key"), bool(header["author_key_enabled"]))

    def vbs_measurement(self, header: Header) -> None:
        """Only of use to another platform."""
        raise self._error(header, "compatibility_mask", "a VBS measurement is not for SEV-SNP")

    def _take(self, header: Header, gpa: int, size: int, align: int = PAGE) -> None:
        """The pages at `gpa` are used from now on. ImageError: misaligned, or used before."""
        if gpa % align or size % PAGE:
            raise self._error(header, "gpa", f"{size:#x} bytes at {gpa:#x} are not aligned to {align:#x}")
        pages = range(gpa // PAGE, (gpa + size) // PAGE)
        clash = next((page for page in pages if page in self.taken), None)
        if clash is not None:
            raise self._error(header, "gpa", f"the page at {clash * PAGE:#x} was loaded before")
        self.taken.update(pages)
        if len(self.taken) * PAGE > self.request.memory + _FIRMWARE:
            raise self._error(header, "gpa", f"more pages than {self.request.memory:#x} bytes of RAM hold")


_ACTIONS = {
    igvm.GUEST_POLICY: _Loader.guest_policy, igvm.RELOCATABLE_REGION: _Loader.relocation,
    igvm.PAGE_TABLE_RELOCATION: _Loader.relocation, igvm.PAGE_DATA: _Loader.page_data,
    igvm.VP_CONTEXT: _Loader.vp_context, igvm.PARAMETER_AREA: _Loader.parameter_area,
    igvm.PARAMETER_INSERT: _Loader.parameter_insert, igvm.REQUIRED_MEMORY: _Loader.required_memory,
    igvm.ERROR_RANGE: _Loader.error_range, igvm.SNP_ID_BLOCK: _Loader.snp_id_block,
    igvm.VBS_MEASUREMENT: _Loader.vbs_measurement,
    **dict.fromkeys((*PARAMETERS, igvm.DEVICE_TREE), _Loader.parameter),
}
