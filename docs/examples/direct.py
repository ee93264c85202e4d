"""An interrupt brings its own plane to the CPU at once, whoever runs; a plane goes on until it asks for another."""

MARKER = 0                      # guests let plane 0 schedule ...
FILTER = "injectable"           # ... and an event is what a plane would take if it ran


def first(planes: int) -> int:
    """The lowest plane of a set that is not empty."""
    plane = 0
    while not planes >> plane & 1:
        plane += 1
    return plane


def choose(active: int, present: int, runnable: int, events: int) -> int:
    """The active plane handles its own event first; then others theirs."""
    if events >> active & 1:
        return active
    if events:
        return first(events)
    if runnable >> active & 1 or not runnable:
        return active
    return first(runnable)


def request(active: int, target: int, present: int, runnable: int, events: int) -> int:
    """Whoever is asked for runs."""
    return target
