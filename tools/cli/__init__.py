"""The `strata` command: one module a subcommand, imported only when it is the one that runs."""
