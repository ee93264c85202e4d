"""The pages that a directly started Linux kernel is told of."""
import struct

import pytest

from emu.load.model import ImageError
from emu.planes.snp import linux_boot
from emu.planes.snp.launch import PageType

PARAMS, PAGE = 0x10000, 4096


def pages(ram_end=0x9FC00, following=0):
    params = bytearray(2 * PAGE)
    params[0x808 + 0x1E8] = 1               # boot_params that run into a second page
    params[0x808 + 0x2D0:0x808 + 0x2E4] = struct.pack("<QQI", 0, ram_end, 1)
    params[0x808 + 0x250:0x808 + 0x258] = struct.pack("<Q", following)
    return {PARAMS: params[:PAGE], PARAMS + PAGE: params[PAGE:]}, PARAMS + 0x808


@pytest.mark.parametrize("following", [0, 0x5000])
def test_the_blob_is_the_first_of_the_setup_data(following):
    contents, params = pages(following=following)
    kinds = linux_boot.announce("kernel", contents, params)
    joined = bytes(contents[PARAMS] + contents[PARAMS + PAGE])
    node, = struct.unpack_from("<Q", joined, 0x808 + 0x250)
    after, kind, size, blob = struct.unpack_from("<QIII", contents[node])
    assert (node, after, kind, size) == (0x9C000, following, 7, 4)
    magic, version, secrets, length, cpuid, cpuid_length = struct.unpack_from(
        "<IHxxQI4xQI", contents[blob & -PAGE], blob % PAGE)
    assert (magic, version, length, cpuid_length) == (0x45444D41, 0, PAGE, PAGE)
    assert kinds == {secrets: PageType.SECRETS, cpuid: PageType.CPUID}
    assert struct.unpack_from("<QQI", joined, 0x808 + 0x2D0) == (0, 0x9C000, 1)


def test_the_acpi_tables_are_not_taken_for_shared():
    contents, params = pages()
    at = params - PARAMS + 0x2D0
    contents[PARAMS][params - PARAMS + 0x1E8:params - PARAMS + 0x1E9] = b"\3"
    for n, entry in enumerate(((0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2)), 1):
        contents[PARAMS][at + 20 * n:at + 20 * n + 20] = struct.pack("<QQI", *entry)
    linux_boot.announce("kernel", contents, params)
    assert struct.unpack_from("<QQIQQI", contents[PARAMS], at + 20) == (0x9FC00, 0x400, 2, 0xF0000, 0x10000, 4)


def test_pages_in_use_are_left_alone():
    contents, params = pages()
    contents[0x9E000] = contents[0x9B000] = bytearray(PAGE)
    linux_boot.announce("kernel", contents, params)
    assert {0x98000, 0x99000, 0x9A000} <= contents.keys()


def test_no_room():
    contents, params = pages(ram_end=0x2000)
    with pytest.raises(ImageError, match="kernel: e820_table"):
        linux_boot.announce("kernel", contents, params)
    contents, params = pages()
    contents |= {at: bytearray(PAGE) for at in range(PAGE, 0xA0000, 2 * PAGE) if at not in contents}
    with pytest.raises(ImageError, match="memory"):
        linux_boot.announce("kernel", contents, params)
