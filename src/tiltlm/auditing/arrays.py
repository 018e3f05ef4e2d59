"""The array type of the audit's signatures."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
"""Shapes stand in docstrings: V tokens of the vocabulary, D hidden dimensions, K classes, B benign
changes, S strata, C or A contexts, N positions, T tokens that are shown at a position."""
