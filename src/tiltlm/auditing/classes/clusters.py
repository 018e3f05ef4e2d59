"""Clusters of tokens that the reference itself holds to be alike, from the rows of its head.

With them a class such as animals can be found though no list names it. What is clustered is the
direction of each row: its length is more a matter of how frequent the token is. Knows no names.
"""

from __future__ import annotations

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows

TOKENS_PER_CLUSTER = (256, 64)
"""Mean size of a cluster in the coarse and in the fine clustering."""


MAX_CLUSTERS = 512
"""Clusters of each clustering at most."""


MAX_DIMENSIONS = 1024
"""Of directions that are clustered; wider ones are projected to so many at random, which keeps
distances to a few percent. All directions of a wide head at once would take as much memory as the
head in float32."""


def cluster_tokens(rows: HeadRows) -> list[list[int]]:
    """Cluster the vocabulary by k-means, once coarsely and once finely.

    Args:
        rows: (V, D) of the reference's head.

    Returns:
        token ids of each cluster, ascending, coarse clusters first; the same for the same rows.

    Source: Sculley 2010, mini-batch k-means; Johnson & Lindenstrauss 1984.
    """
    from sklearn.cluster import MiniBatchKMeans

    directions = _directions(rows)
    clusters: list[list[int]] = []
    for size in TOKENS_PER_CLUSTER:
        count = min(MAX_CLUSTERS, max(2, len(rows) // size))
        k_means = MiniBatchKMeans(
            count, init=_plus_plus, random_state=0, n_init=1, batch_size=4096, max_iter=40
        )
        labels = k_means.fit_predict(directions)
        clusters += [np.flatnonzero(labels == label).tolist() for label in range(count)]
    return [ids for ids in clusters if ids]


def _directions(rows: HeadRows) -> Array:
    """(V, at most `MAX_DIMENSIONS`) float32 directions of the rows from their mean."""
    width, projection = rows.width, None
    if width > MAX_DIMENSIONS:
        draws = np.random.default_rng(0).standard_normal((width, MAX_DIMENSIONS))
        width, projection = MAX_DIMENSIONS, torch.from_numpy(draws / np.sqrt(MAX_DIMENSIONS))
    directions = np.empty((len(rows), width), np.float32)
    for tokens, centred in rows.centred().blocks():
        unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-9)
        projected = unit if projection is None else unit @ projection.to(unit)
        directions[tokens] = projected.cpu().numpy()
    return directions


def _plus_plus(points: Array, count: int, random_state: np.random.RandomState) -> Array:
    """The centres that k-means++ begins with, of float32 points.

    scikit-learn measures distances between float32 points in float64 a chunk at a time, and takes
    the squares anew for each centre; given float64 it does neither.
    """
    from sklearn.cluster import kmeans_plusplus

    centres, _ = kmeans_plusplus(points.astype(float), count, random_state=random_state)
    return np.asarray(centres, points.dtype)
