"""Benchmarks by subject, as ratios against named baselines: `python -m benchmarks.SUBJECT.NAME`."""
