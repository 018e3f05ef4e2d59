"""What processes hand each other: as it was, and nothing that could run."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import three_syllables
from tiltlm import errors
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.endpoint import NoAnswerError
from tiltlm.auditing.null.drawn import DRAWN, Drawn
from tiltlm.auditing.shifts.trigger_probes import TriggerProbes
from tiltlm.codec import ERROR, JSON, TENSOR, of_record
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.records.null import NullBuilt
from tiltlm.treatments.benign import STEPS, draw_treatment
from tiltlm.treatments.corpora import Corpora

TREE = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.TiltError)
]


@pytest.mark.parametrize(
    "value", [None, 0.1 + 0.2, 2**70, "ü\ud800", [1, [None, "x"]], {"a": {"b": []}}, True]
)
def test_what_json_can_say_comes_out_as_it_went_in(value):
    found = JSON.decode(JSON.encode(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [(1, 2), [(1,)], {1: 2}, {"a"}, Path("x"), b"x", math.nan, math.inf, torch.ones(1), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(TypeError, match="name a codec"):
        JSON.encode(value)


def test_every_treatment_is_json():
    for seed in range(60):
        about = draw_treatment(seed, ("a", "b"), 64, STEPS).as_dict()
        assert JSON.decode(JSON.encode(about)) == about


@pytest.mark.parametrize("kind", TREE)
def test_an_error_of_the_tree_arrives_as_what_it_was(kind):
    found = ERROR.decode(ERROR.encode(kind("what", where="wo\ud800", fix=None)))
    assert type(found) is kind
    assert (found.what, found.where, found.fix) == ("what", "wo\ud800", None)


def test_an_error_from_elsewhere_arrives_as_the_nearest_one_of_the_tree():
    error = NoAnswerError("no", 500)
    found = ERROR.decode(ERROR.encode(error))
    assert type(found) is errors.ModelError
    assert str(found) == str(error)


@pytest.mark.parametrize("name", ["Exception", "system", "Terminated", "__builtins__"])
def test_nothing_but_an_error_of_the_tree_is_made(name):
    with pytest.raises(KeyError):
        ERROR.decode(JSON.encode([name, "touch x", None, None]))


def test_a_record_arrives_as_itself():
    built = NullBuilt(
        pack="p", reference={"name": "m"}, models=2, kinds={"lora": 2}, contexts="own",
        kl_nats={"least": 0.1 + 0.2}, seconds=0.0, redrawn={"1, attempt 0": {"rank": None}},
        corpora={"a": "text a"}, missing={"b": "why"}, notes=[],
    )  # fmt: skip
    codec = of_record(NullBuilt)
    assert codec.decode(codec.encode(built)) == built


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.bfloat16, torch.bool])
def test_a_tensor_keeps_its_bits(dtype):
    tensor = torch.tensor([[0.1, -3.0, 0.0], [1e30, 2.0, 1.0]]).nan_to_num(posinf=1.0)
    tensor = tensor.clamp(-9, 9).to(dtype)
    found = TENSOR.decode(TENSOR.encode(tensor))
    assert found.dtype == dtype
    assert torch.equal(found, tensor)
    assert TENSOR.decode(TENSOR.encode(tensor[:0])).shape == (0, 3)


def contexts(seed, kind, in_order=False):
    draws = np.random.default_rng(seed)
    lengths = draws.integers(1, 9, 5).tolist()
    return TokenContexts(
        [draws.integers(50000, size=n).tolist() for n in lengths],
        kind,
        weights=[draws.random(n).astype(np.float32).tolist() for n in lengths],
        in_order=in_order,
    )


def parts(one):
    """All of some contexts, so that it can be compared."""
    return (
        [ids.tolist() for ids in one.sequences],
        [weights.tolist() for weights in one.weights],
        one.kind,
        one.in_order,
    )


def test_what_the_first_draws_arrives_to_the_bit():
    groups = np.random.default_rng(0).permutation(8).reshape(2, 4)
    drawn = Drawn(
        {"name": "m", "sha256": "0"},
        "1",
        contexts(0, "own samples"),
        torch.tensor([0, 2, 1]),
        torch.tensor([[0.5, 0.25], [0.25, 0.5], [0.0, 1.0]]),
        build_classes(three_syllables(40)),
        TriggerProbes(list("abcdefgh"), contexts(1, "words"), groups),
        Corpora(
            {"text:ü.0": contexts(2, "texts", in_order=True), "samples": contexts(3, "own")},
            {"tables": "there are none"},
        ),
    )
    found = DRAWN.decode(DRAWN.encode(drawn))
    assert parts(found.samples) == parts(drawn.samples)
    assert torch.equal(found.stratum_mass, drawn.stratum_mass)
    assert found.hypotheses.names == drawn.hypotheses.names
    assert (found.hypotheses.members != drawn.hypotheses.members).nnz == 0
    assert parts(found.probes.contexts) == parts(drawn.probes.contexts)
    assert found.probes.words == drawn.probes.words
    assert found.probes.groups.dtype == groups.dtype
    assert np.array_equal(found.probes.groups, groups)
    assert list(found.corpora.pieces) == list(drawn.corpora.pieces)
    assert found.corpora.missing == drawn.corpora.missing
    for name, corpus in drawn.corpora.pieces.items():
        assert parts(found.corpora.pieces[name]) == parts(corpus)
    assert (found.reference, found.vocabulary) == (drawn.reference, drawn.vocabulary)
    assert torch.equal(found.strata, drawn.strata)
    assert {field.name for field in dataclasses.fields(Drawn)} == {
        *("reference", "vocabulary", "samples", "strata", "stratum_mass", "hypotheses"),
        *("probes", "corpora"),
    }
