import pytest
import torch

from tiltlm.contexts.cache import cached
from tiltlm.contexts.token_contexts import TokenContexts


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))


def test_contexts_of_any_length_come_back_as_they_were():
    made = TokenContexts([[1, 2, 3], [4]], "by hand", weights=[[0.0, 1.0, 0.5], [1.0]])
    cached("key", ["a", 1], lambda: made)
    found = cached("key", ["a", 1], lambda: pytest.fail("made twice"))
    assert found.kind == "by hand"
    for before, after in zip(
        [*made.sequences, *made.weights], [*found.sequences, *found.weights], strict=True
    ):
        assert torch.equal(before, after)


def test_contexts_of_another_model_or_length_are_made_anew_and_without_a_key_nothing_is_kept(
    tmp_path,
):
    made = []

    def make():
        made.append(1)
        return TokenContexts([[1]], "x")

    for key, about in (("a", [1]), ("b", [1]), ("a", [2]), ("a", [1]), (None, [1]), (None, [1])):
        cached(key, about, make)
    assert len(made) == 5
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
