"""What a serial console's bytes look like (ECMA-48 8.3)."""
import random

import pytest

from tools.debug.terminal import COLUMNS, KEPT, Terminal


@pytest.mark.parametrize("data, lines", [
    (b"one\r\ntwo", ["one", "two"]),
    (b"progress 1\rprogress 2", ["progress 2"]),
    (b"abc\b\bX", ["aXc"]),
    (b"a\tb", ["a       b"]),
    (b"# ls\x1b[J", ["# ls"]),
    (b"\x1b[1;32mgreen\x1b[0m", ["green"]),
    (b"abcdef\x1b[3D\x1b[K", ["abc"]),
    (b"abcdef\x1b[4D\x1b[P", ["abdef"]),
    (b"abc\x1b[2Gx\x1b[2Cy", ["axc y"]),
    (b"\x1b]0;title\x07shell", ["shell"]),
    (b"\x1b(Bx\x1b7y\x07", ["xy"]),
])
def test_control_codes(data, lines):
    whole, pieces = Terminal(), Terminal()
    whole.feed(data)
    for byte in data:
        pieces.feed(bytes((byte,)))
    assert whole.lines == pieces.lines == lines


def test_nothing_makes_it_fail_or_grow_without_bound():
    draw = random.Random(1)
    terminal = Terminal()
    for _ in range(3000):
        terminal.feed(draw.choice((b"\x1b[", b"\x1b]", b"9999999C", b"\n", b"\t" * 50, draw.randbytes(9))))
    terminal.feed(b"\n" * (KEPT + 10))
    assert len(terminal.lines) <= KEPT and max(map(len, terminal.lines)) <= COLUMNS + 8
