"""The public names of `serving.export`, and where each lives."""

from .exporting import ExportOptions as ExportOptions
from .exporting import export as export
from .source import Source as Source
from .source import open_source as open_source
