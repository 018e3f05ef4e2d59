"""The public names of `serving`, and where each lives."""

from .export.exporting import export as export
from .verify.verifying import verify as verify
