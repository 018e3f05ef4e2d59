"""The public names of `auditing.classes`, and where each lives."""

from .clusters import cluster_tokens as cluster_tokens
from .naming import display_name as display_name
from .overlap import jaccard as jaccard
from .overlap import overlap_coefficient as overlap_coefficient
from .overlap import share_within as share_within
from .token_classes import TokenClasses as TokenClasses
from .token_classes import build_classes as build_classes
