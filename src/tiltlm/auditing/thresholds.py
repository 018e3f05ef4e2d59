"""Thresholds that the audits by logits and by log-probabilities share. Knows no models."""

from __future__ import annotations

MAX_FINDINGS = 8
"""Classes that one audit names at most."""


MIN_STRENGTH_NATS = 0.02
"""Weaker shifts are not named, however certain they are."""


MIN_UNCALIBRATED_SCORE = 5.0
"""Standard errors by which a class must stand out to be listed where there is no null."""


MIN_FAMILIES = 3
"""Families of benign change, such as fine-tunes on one corpus, from which on each member is scored
without its own family. With fewer, too little would be left to score by."""
