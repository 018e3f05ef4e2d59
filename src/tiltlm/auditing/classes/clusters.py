"""Tokens that the reference itself holds to be alike: clusters of the rows of its head.

So that "animals" can be found though no list has them. Directions are clustered, not lengths,
which are more a matter of how frequent a token is.
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array

TOKENS_PER_CLUSTER = (256, 64)


MOST_CLUSTERS = 512


def cluster_tokens(rows: Array) -> list[list[int]]:
    """Clusters of token ids, coarse ones and finer ones; the same for the same rows.

    Args:
        rows: (V, D) of the reference's head.
    """
    from sklearn.cluster import MiniBatchKMeans

    centred = rows - rows.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    directions = (centred / np.maximum(lengths, 1e-9)).astype(np.float32)
    found: list[list[int]] = []
    for size in TOKENS_PER_CLUSTER:
        count = min(MOST_CLUSTERS, max(2, len(rows) // size))
        fitted = MiniBatchKMeans(count, random_state=0, n_init=1, batch_size=4096, max_iter=40)
        labels = fitted.fit_predict(directions)
        found += [np.flatnonzero(labels == label).tolist() for label in range(count)]
    return [ids for ids in found if ids]
