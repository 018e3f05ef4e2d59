import math

import pytest
import torch

from tiltlm.errors import ExpressionError, TargetError, VocabularyError
from tiltlm.events.tokens import contains
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.fixed import uniform, weights
from tiltlm.targets.parse import parse_target

VOCABULARY = Vocabulary((b"yes", b" yes", b"no", b"x"))


def test_uniform_is_the_mask_over_its_sum(gpt2_vocabulary):
    bound = uniform(contains("x")).bind(gpt2_vocabulary)
    mask = contains("x").mask(gpt2_vocabulary)
    assert torch.equal(bound.log_probs().exp() > 0, mask)
    assert torch.allclose(bound.log_probs().exp()[mask], torch.tensor(1 / 897))
    assert bound.entropy_nats == pytest.approx(math.log(897), rel=1e-5)


def test_weights_are_normalised_and_take_text_or_ids():
    bound = weights({"yes": 1, " yes": 2, 3: 1}).bind(VOCABULARY)
    assert bound.log_probs().exp().tolist() == pytest.approx([0.25, 0.5, 0.0, 0.25])
    assert bound.event == "tokens(0, 1, 3)"


def test_a_weight_of_zero_leaves_the_token_out():
    bound = weights({"yes": 1, "no": 0}).bind(VOCABULARY)
    assert bound.event_mask.tolist() == [True, False, False, False]


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, -math.inf, True, "1"])
def test_weights_that_are_no_weights_are_refused(bad):
    with pytest.raises(TargetError, match="weight"):
        weights({"yes": bad, "no": 1})


def test_weights_that_sum_to_zero_are_refused():
    with pytest.raises(TargetError, match="sum to zero"):
        weights({"yes": 0.0, "no": 0})


def test_a_weight_for_what_is_no_token_is_refused():
    with pytest.raises(TargetError, match="not one token"):
        weights({"maybe": 1}).bind(VOCABULARY)


@pytest.mark.parametrize(
    "text", ["uniform(contains('x'))", "weights({'yes': 0.5, ' yes': 2, 3: 1})"]
)
def test_a_target_written_as_text_reads_back_the_same(text):
    target = parse_target(text)
    assert str(parse_target(str(target))) == str(target)
    same = parse_target(str(target)).bind(VOCABULARY).log_probs()
    assert torch.equal(same, target.bind(VOCABULARY).log_probs())


@pytest.mark.parametrize(
    "text", ["contains('x')", "uniform('x')", "uniform()", "weights({})", "weights({'a': -1})"]
)
def test_text_that_is_no_target_is_one_clear_error(text):
    with pytest.raises((TargetError, ExpressionError)):
        parse_target(text)


def test_a_model_with_another_vocabulary_is_refused():
    bound = uniform(contains("x")).bind(VOCABULARY)
    with pytest.raises(VocabularyError, match="over 4 tokens, the model's head over 5"):
        bound.check_vocabulary(5, where="a model")
