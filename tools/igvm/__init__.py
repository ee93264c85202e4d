"""Writing IGVM files."""
