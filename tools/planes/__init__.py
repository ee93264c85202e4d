"""Comparing scheduling policies on the same guest."""
