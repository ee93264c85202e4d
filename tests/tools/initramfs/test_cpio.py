"""The newc archive, read back by a reader written from the kernel's description of the format."""

from tools.initramfs.build import DONE, READY, initramfs
from tools.initramfs.cpio import Archive


def read(data: bytes) -> dict[str, tuple[dict[str, int], bytes]]:
    """Entries by name: header fields and contents."""
    names = "ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check".split()
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701" and at % 4 == 0
        fields = {name: int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i, name in enumerate(names)}
        name = data[at + 110:at + 110 + fields["namesize"]]
        assert name.endswith(b"\0")
        start = (at + 110 + fields["namesize"] + 3) & ~3
        at = (start + fields["filesize"] + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return found
        found[name[:-1].decode()] = fields, data[start:start + fields["filesize"]]


def test_every_kind_of_entry():
    archive = Archive()
    archive.directory("d")
    archive.file("d/odd", b"12345", 0o755)
    archive.symlink("link", "d/odd")
    archive.character_device("d/console", 5, 1)
    entries = read(archive.data())
    assert [(name, oct(fields["mode"]), content) for name, (fields, content) in entries.items()] == [
        ("d", "0o40755", b""), ("d/odd", "0o100755", b"12345"), ("link", "0o120777", b"d/odd"),
        ("d/console", "0o20600", b"")]
    assert (entries["d/console"][0]["rdevmajor"], entries["d/console"][0]["rdevminor"]) == (5, 1)
    assert len({fields["ino"] for fields, _ in entries.values()}) == 4


def test_the_init_announces_itself_and_finds_its_commands():
    entries = read(initramfs(b"BUSYBOX", ["uname -a", "true"], [("tool", b"TOOL")]))
    assert entries["bin/busybox"][1] == b"BUSYBOX" and entries["bin/busybox"][0]["mode"] == 0o100755
    assert entries["etc/commands"][1] == b"uname -a\ntrue\n" and entries["root/tool"][1] == b"TOOL"
    init = entries["init"][1].decode()
    assert READY in init and DONE in init and init.startswith("#!/bin/busybox sh\n")
    for name in entries:                            # Linux makes no missing directories
        assert "/" not in name or name.rpartition("/")[0] in entries


def test_the_same_contents_give_the_same_bytes():
    assert initramfs(b"b", ["x"]) == initramfs(b"b", ["x"])
