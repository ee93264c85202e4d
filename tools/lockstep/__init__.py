"""Seeded random programs run in two engines, which must agree at every stop."""
