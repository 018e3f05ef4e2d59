"""The public names, and where each lives."""

from .main import app as app
from .main import describe as describe
