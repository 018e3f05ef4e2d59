"""Sealed challenges."""
