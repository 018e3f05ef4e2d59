"""Clusters of tokens that the reference itself holds to be alike, from the rows of its head.

With them a class such as animals can be found though no list names it. What is clustered is the
direction of each row: its length is more a matter of how frequent the token is. They are kept in
the cache, since clustering takes seconds. Knows no names.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.models.cache import cache_folder, keep_arrays, kept_arrays

TOKENS_PER_CLUSTER = (256, 64)
"""Mean size of a cluster in the coarse and in the fine clustering."""


MAX_CLUSTERS = 512
"""Clusters of each clustering at most."""


MAX_DIMENSIONS = 1024
"""Of directions that are clustered; wider ones are projected to so many at random, which keeps
distances to a few percent. All directions of a wide head at once would take as much memory as the
head in float32."""


_LABELS, _VERSION = "labels", 1
"""Of what is kept; the version is one more whenever tokens are clustered differently."""


def cluster_tokens(rows: HeadRows, sha256: str | None = None) -> list[list[int]]:
    """Cluster the vocabulary by k-means, once coarsely and once finely.

    Args:
        rows: (V, D) of the reference's head.
        sha256: of the reference's weights, by which clusters are kept for later audits; None to
            keep none.

    Returns:
        token ids of each cluster, ascending, coarse clusters first; the same for the same rows.

    Source: Sculley 2010, mini-batch k-means; Johnson & Lindenstrauss 1984.
    """
    path = None if sha256 is None else _path(sha256)
    labels = None if path is None else _kept(path, len(rows))
    if labels is None:
        labels = _label(rows)
        if path is not None:
            keep_arrays(path, {_LABELS: labels})
    clusters: list[list[int]] = []
    for of_size in labels:
        clusters += [np.flatnonzero(of_size == n).tolist() for n in range(int(of_size.max()) + 1)]
    return [ids for ids in clusters if ids]


def _label(rows: HeadRows) -> Array:
    """(2, V) int16: the number of the cluster of each token, coarsely and finely."""
    from sklearn.cluster import MiniBatchKMeans

    directions, labels = _directions(rows), []
    for size in TOKENS_PER_CLUSTER:
        count = min(MAX_CLUSTERS, max(2, len(rows) // size))
        k_means = MiniBatchKMeans(
            count, init=_plus_plus, random_state=0, n_init=1, batch_size=4096, max_iter=40
        )
        labels.append(k_means.fit_predict(directions))
    return np.stack(labels).astype(np.int16)


def _path(sha256: str) -> Path:
    """Of the clusters of a reference, as the scikit-learn that is here makes them."""
    name = f"{sha256[:24]}-{importlib.metadata.version('scikit-learn')}-{_VERSION}.safetensors"
    return cache_folder() / "clusters" / name


def _kept(path: Path, tokens: int) -> Array | None:
    """(2, tokens) numbers of clusters; None where there are none, or damaged ones."""
    labels = kept_arrays(path).get(_LABELS)
    if labels is None:
        return None
    fits = labels.shape == (len(TOKENS_PER_CLUSTER), tokens) and labels.dtype == np.int16
    return labels if fits and labels.min() >= 0 and labels.max() < MAX_CLUSTERS else None


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
