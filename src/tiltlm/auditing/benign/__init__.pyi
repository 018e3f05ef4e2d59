"""The public names of `auditing.benign`, and where each lives."""

from .changes import BenignChanges as BenignChanges
from .knowledge import Knowledge as Knowledge
from .learning import learn as learn
from .learning import learn_at as learn_at
from .null_distribution import NullDistribution as NullDistribution
