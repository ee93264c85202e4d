"""`strata fetch`: hands its command line to the fetcher."""


def main(argv: list[str]) -> int:
    """Fetch guest software; returns the exit status."""
    from tools.fetch import debian
    return debian.main(argv)
