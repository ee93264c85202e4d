"""Stepping, breakpoints, and going back: what debuggers are made of. See docs/debug.md."""
