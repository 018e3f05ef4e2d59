"""The public names, and where each lives."""

from .answers import read_answers as read_answers
from .making import make_challenge as make_challenge
from .scoring import score_challenge as score_challenge
