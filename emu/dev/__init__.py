"""Devices of the PC, one file each; no device imports another."""
