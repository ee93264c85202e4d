"""Machine state as values: what it consists of, snapshots in memory and in files."""
