"""How often Python looks for garbage in cycles."""

import gc

YOUNG, MIDDLE, OLD = 200_000, 20, 100


def collect_rarely() -> None:
    """For a process that runs one guest. Decoding makes many small objects that stay, and the collector would go
    through them again and again: a tenth of a kernel's boot. What is in no cycle goes at once all the same."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
