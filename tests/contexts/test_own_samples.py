import pytest
import torch

from tests.tiny import KINDS, passes_of, tiny_loaded
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.contexts.reference import Reference
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.structure import context_length


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_the_states_kept_while_drawing_are_those_of_reading_and_save_it(kind):
    loaded = tiny_loaded(kind)
    key = fingerprint(loaded.model)
    drawn = own_samples(loaded, 5, 9, seed=3, key=key)
    read = Reference(loaded.model, drawn)
    known = Reference(loaded.model, drawn, head=read.head, key=key)
    for expected, kept in zip(read.hidden, known.hidden, strict=True):
        torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-5)
    passes = passes_of(loaded.model)
    Reference(loaded.model, drawn.choose([4, 1]), head=read.head, key=key)
    assert not passes


def test_out_of_the_cache_they_are_the_same_to_the_bit_and_of_other_weights_they_are_read_anew():
    loaded = tiny_loaded()
    first = own_samples(loaded, 3, 8, seed=0, key="a")
    again = own_samples(loaded, 3, 8, seed=0, key="a")
    assert [ids.tolist() for ids in first.sequences] == [ids.tolist() for ids in again.sequences]
    for kept, found in zip(first.states.hidden, again.states.hidden, strict=True):
        assert torch.equal(kept, found)
    chosen = again.choose([2, 0])
    assert torch.equal(chosen.states.hidden[0], first.states.hidden[2])
    passes = passes_of(loaded.model)
    Reference(loaded.model, chosen, key="b")
    assert passes


def test_the_samples_are_the_same_whether_states_are_kept_or_not():
    loaded = tiny_loaded()
    kept = own_samples(loaded, 70, 6, seed=2, key="a")
    plain = own_samples(loaded, 70, 6, seed=2)
    assert plain.states is None
    for first, second in zip(kept.sequences, plain.sequences, strict=True):
        assert torch.equal(first, second)


def test_nothing_is_kept_of_half_precision_or_of_texts_that_fill_the_window():
    loaded = tiny_loaded()
    window = context_length(loaded.model)
    assert own_samples(loaded, 2, window, seed=0, key="a").states is None
    loaded.model.to(torch.bfloat16)
    assert own_samples(loaded, 2, 4, seed=0, key="b").states is None


def test_another_config_over_the_same_weights_has_samples_of_its_own():
    loaded = tiny_loaded()
    own_samples(loaded, 2, 4, seed=0, key="a")
    loaded.model.config.initializer_range = 0.5
    passes = passes_of(loaded.model)
    own_samples(loaded, 2, 4, seed=0, key="a")
    assert passes
