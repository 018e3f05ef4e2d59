"""What is known of the benign changes of a reference, class by class: what a suspect is judged by.

It is learnt once from a pack (`learning`) and kept in it, since learning takes far longer than
judging.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.null_distribution import NullDistribution
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance


@dataclass(frozen=True)
class Knowledge:
    """What is known of K classes over V tokens.

    Attributes:
        hypotheses: the classes.
        residual_sizes: (K,) as `ResidualFilter.sizes`.
        norms: (K,) as `ColumnSpaceFilter.norms`.
        covariance: of benign moves.
        normal: (S, D, D) as `Templates.normal`.
        mean_rows: (N, D) as `Templates.mean_rows`.
        mass: (S, V) as `Templates.mass`.
        token_noise: (V,) as `likeness.token_noise`.
        null: what benign changes score.
    """

    hypotheses: TokenClasses
    residual_sizes: Array
    norms: Array
    covariance: MoveCovariance
    normal: Array
    mean_rows: Array
    mass: Array
    token_noise: Array
    null: NullDistribution
