"""Measures: what a tilt changed, each with an interval."""
