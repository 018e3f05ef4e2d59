"""Clusters of tokens that the reference itself holds to be alike, from the rows of its head.

With them a class such as animals can be found though no list names it. What is clustered is the
direction of each row: its length is more a matter of how frequent the token is. Knows no names.
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.head_rows import HeadRows

TOKENS_PER_CLUSTER = (256, 64)
"""Mean size of a cluster in the coarse and in the fine clustering."""


MAX_CLUSTERS = 512
"""Clusters of each clustering at most."""


def cluster_tokens(rows: HeadRows) -> list[list[int]]:
    """Cluster the vocabulary by k-means, once coarsely and once finely.

    Args:
        rows: (V, D) of the reference's head.

    Returns:
        token ids of each cluster, ascending, coarse clusters first; the same for the same rows.

    Source: Sculley 2010, mini-batch k-means.
    """
    from sklearn.cluster import MiniBatchKMeans

    directions = np.empty((len(rows), rows.width), np.float32)
    for tokens, centred in rows.centred().blocks():
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        directions[tokens] = centred / np.maximum(lengths, 1e-9)
    clusters: list[list[int]] = []
    for size in TOKENS_PER_CLUSTER:
        count = min(MAX_CLUSTERS, max(2, len(rows) // size))
        k_means = MiniBatchKMeans(count, random_state=0, n_init=1, batch_size=4096, max_iter=40)
        labels = k_means.fit_predict(directions)
        clusters += [np.flatnonzero(labels == label).tolist() for label in range(count)]
    return [ids for ids in clusters if ids]
