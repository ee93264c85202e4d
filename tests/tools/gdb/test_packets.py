"""Framing: what a client sends, in whatever pieces, and what is damaged."""
import random

from tools.gdb.packets import INTERRUPT, MAX_PACKET, Reader, escape, frame, unescape


def test_packets_come_out_as_they_went_in_whatever_the_pieces():
    rng = random.Random(1)
    packets = [bytes(rng.choices(b"abc,:;0123456789", k=rng.randrange(1, 40))) for _ in range(50)]
    stream = b"".join(b"+" + frame(p) for p in packets)
    for size in (1, 2, 7, 1000):
        reader = Reader()
        found = [p for at in range(0, len(stream), size) for p in reader.feed(stream[at:at + size])]
        assert found == packets


def test_a_wrong_checksum_is_told_apart():
    assert Reader().feed(b"$m0,1#00$g#67") == [None, b"g"]


def test_interrupts_come_between_packets():
    assert Reader().feed(b"\x03$c#63\x03") == [INTERRUPT, b"c", INTERRUPT]


def test_an_endless_packet_is_dropped():
    reader = Reader()
    assert reader.feed(b"$" + b"x" * (2 * MAX_PACKET + 1)) == [None]
    assert reader.feed(frame(b"g")) == [b"g"]


def test_binary_data_survives():
    data = bytes(range(256))
    assert unescape(escape(data)) == data and b"#" not in escape(data) and b"$" not in escape(data)
    assert unescape(b"}") == b""
