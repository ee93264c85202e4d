"""Compares the engine with the host CPU, one instruction at a time."""
