"""The GDB remote serial protocol (GDB manual, appendix E) over the Python API."""
