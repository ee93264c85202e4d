"""Machine code written as a listing: bytes in hexadecimal, then what they mean."""


def code(listing: str) -> bytes:
    """The bytes of a listing. A line is bytes, two or more spaces, and the instruction (or a comment) for the reader;
    the tests disassemble the bytes and compare. Empty lines are skipped. Raises ValueError for what is not hexadecimal.
    """
    return b"".join(bytes.fromhex(line.strip().split("  ")[0]) for line in listing.splitlines() if line.strip())


def lines(listing: str) -> list[tuple[bytes, str]]:
    """The (bytes, instruction) pairs of a listing, without what follows a semicolon."""
    pairs = []
    for line in listing.splitlines():
        if line.strip():
            left, _, right = line.strip().partition("  ")
            pairs.append((bytes.fromhex(left), right.partition(";")[0].strip()))
    return pairs
