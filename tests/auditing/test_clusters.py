"""Clusters of tokens that a head holds to be alike."""

import numpy as np
import pytest
import torch

from tiltlm.auditing.classes import clusters
from tiltlm.auditing.head_rows import HeadRows

GROUPS, OF_EACH = 4, 128
"""As many as coarse and fine clusters of so many tokens come to, or fewer."""


def rows_in_groups(width):
    """Rows about a few directions far from each other, of any length."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(GROUPS, width, generator=generator)
    noise = 0.1 * torch.randn(GROUPS * OF_EACH, width, generator=generator)
    lengths = 1 + 4 * torch.rand(GROUPS * OF_EACH, 1, generator=generator)
    return lengths * (centres.repeat_interleave(OF_EACH, 0) + noise)


@pytest.mark.parametrize("width", [32, clusters.MAX_DIMENSIONS + 500])
def test_no_cluster_mixes_rows_of_two_directions(width):
    found = clusters.cluster_tokens(HeadRows(rows_in_groups(width)))
    fine = found[2:]
    assert sorted(i for ids in fine for i in ids) == list(range(GROUPS * OF_EACH))
    assert all(len({i // OF_EACH for i in ids}) == 1 for ids in fine)


def test_clusters_are_kept_by_the_weights_that_they_are_of(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))
    rows = HeadRows(rows_in_groups(32))
    made = clusters.cluster_tokens(rows)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert clusters.cluster_tokens(rows, "a" * 64) == made
    with monkeypatch.context() as patched:
        patched.setattr(clusters, "_label", None)  # nothing is clustered again
        assert clusters.cluster_tokens(rows, "a" * 64) == made
    (kept,) = tmp_path.rglob("*.safetensors")
    for damaged in (b"", kept.read_bytes()[:-2]):
        kept.write_bytes(damaged)
        assert clusters.cluster_tokens(rows, "a" * 64) == made
    fewer = HeadRows(rows_in_groups(32)[:200])
    assert clusters.cluster_tokens(fewer, "a" * 64) == clusters.cluster_tokens(fewer)


def test_a_projection_keeps_distances_between_wide_directions():
    rows = rows_in_groups(clusters.MAX_DIMENSIONS + 500)
    found = clusters._directions(HeadRows(rows))
    assert found.shape == (len(rows), clusters.MAX_DIMENSIONS)
    centred = (rows - rows.mean(0)).double().numpy()
    exact = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    pairs = np.random.default_rng(0).integers(0, len(rows), (500, 2))
    pairs = pairs[pairs[:, 0] // OF_EACH != pairs[:, 1] // OF_EACH]
    lengths = [np.linalg.norm(of[pairs[:, 0]] - of[pairs[:, 1]], axis=1) for of in (found, exact)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.15)
