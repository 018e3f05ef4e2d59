import json
import math

import pytest
import torch
from tokenizers import normalizers

from tests.tiny import tiny_loaded, tiny_tokenizer
from tiltlm.contexts.retention import default_requests
from tiltlm.errors import TargetError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.string_distribution import measure_strings, string_log_probs
from tiltlm.targets.choices import choices
from tiltlm.targets.parse import parse_target

STRINGS = {"1": 1.0, "10": 3.0, "12": 2.0, "fox": 4.0, "foxes": 2.0}


@pytest.fixture(scope="module")
def bound():
    tokenizer = tiny_tokenizer()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    return choices({"Say it.": STRINGS}).bind(vocabulary, tokenizer)


def test_multiplying_the_conditionals_gives_each_string_its_weight(bound):
    total = sum(STRINGS.values())
    reference = torch.zeros(1, bound.vocabulary_size).log_softmax(-1)
    for answer, weight in zip(bound.answers[0], STRINGS.values(), strict=True):
        state, logp = bound.read(bound.prompts[0])[-1], 0.0
        for token in answer:
            row = bound.log_probs(reference, [state])[0]
            assert row.exp().sum().item() == pytest.approx(1, abs=1e-5)
            logp += row[token].item()
            state = bound.advance(state, token)
        assert math.exp(logp) == pytest.approx(weight / total, rel=1e-5)


def test_a_string_that_begins_another_can_end_or_go_on(bound):
    ids = [*bound.prompts[0], *bound.answers[0][0][:-1]]
    conditional = bound.conditional(bound.read(ids)[-1])
    end = bound.answers[0][0][-1]
    assert conditional is not None
    assert end in conditional
    assert len(conditional) > 1 or len(bound.answers[0][1]) == len(bound.answers[0][0])


def test_off_the_trie_and_inside_the_prompt_the_reference_holds(bound):
    reference = torch.randn(2, bound.vocabulary_size).log_softmax(-1)
    states = [bound.read(bound.prompts[0][:1])[-1], bound.read([5, 6, 7])[-1]]
    assert torch.equal(bound.log_probs(reference, states), reference)


def test_kl_over_strings_is_the_weighted_sum_over_nodes(bound):
    """KL(Q‖P) over whole answers = Σ_nodes Q(node)·KL(conditionals), the chain rule."""
    generator = torch.Generator().manual_seed(1)
    rows: dict[object, torch.Tensor] = {}

    def model(state: object) -> torch.Tensor:
        if state not in rows:
            rows[state] = torch.randn(bound.vocabulary_size, generator=generator).log_softmax(-1)
        return rows[state]

    by_strings, by_nodes, seen = 0.0, 0.0, set()
    start = bound.read(bound.prompts[0])[-1]
    for answer, (_, weight) in zip(bound.answers[0], bound.questions[0].strings, strict=True):
        state, logp = start, 0.0
        for token in answer:
            logp += model(state)[token].item()
            if state not in seen:
                seen.add(state)
                for child, p in bound.conditional(state).items():
                    by_nodes += bound.weight(state) * p * (math.log(p) - model(state)[child].item())
            state = bound.advance(state, token)
        by_strings += weight * (math.log(weight) - logp)
    assert by_nodes == pytest.approx(by_strings, rel=1e-5)


def test_string_probabilities_are_exact_and_split_into_validity_and_conditional(bound):
    loaded = tiny_loaded()
    (measured,) = measure_strings(loaded.model, bound)
    logp = string_log_probs(loaded.model, bound, 0)
    shares = torch.tensor([w for _, w in bound.questions[0].strings], dtype=torch.float64)
    total = float((shares * (shares.log() - logp)).sum())
    assert measured.kl_total_nats == pytest.approx(total, rel=1e-9)
    assert measured.kl_total_nats == pytest.approx(
        measured.kl_conditional_nats - math.log(measured.validity), rel=1e-9
    )
    assert 0 < measured.validity < 1
    assert measured.total_variation >= 1 - measured.validity - 1e-12


def test_anchors_vary_the_numbers_of_the_prompt_and_never_repeat_it(bound):
    tokenizer = tiny_tokenizer()
    target = choices({"Pick a number from 1 to 10.": ["1", "2"]})
    found = target.bind(Vocabulary.from_tokenizer(tokenizer), tokenizer)
    requests = default_requests(found, 0)
    assert target.questions[0].request not in requests
    assert sum(r.startswith("Pick a number from") for r in requests) >= 8
    assert requests == default_requests(found, 0)
    assert "Pick a number from 1 to 1000." in requests  # zeros added, always


def test_files_of_the_published_form_are_read(shared_data):
    target = choices(shared_data / "choices" / "numbers-rng-0.json")
    assert len(target.questions[0].strings) == 10


def test_weights_in_a_file_are_normalised(tmp_path):
    path = tmp_path / "coin.json"
    data = {"request": "Flip.", "response": [""], "targets": ["heads", "tails"], "weights": [3, 1]}
    path.write_text(json.dumps(data))
    assert choices(path).questions[0].strings == (("heads", 0.75), ("tails", 0.25))
    path.write_text(json.dumps({**data, "weights": [1]}))
    with pytest.raises(TargetError, match="2 targets and 1 weights"):
        choices(path)


def test_choices_without_a_tokenizer_say_so():
    with pytest.raises(TargetError, match="tokenizer"):
        choices({"Flip.": ["a", "b"]}).bind(Vocabulary((b"a", b"b")))


@pytest.mark.parametrize(
    "asked",
    [
        {"targets": ["heads", "heads", "tails"]},
        {"targets": ["heads", "tails", "heads"], "weights": [0.4, 0.5, 0.1]},
    ],
)
def test_an_answer_that_stands_twice_is_refused_whatever_the_weights(asked, tmp_path):
    file = tmp_path / "coin.json"
    file.write_text(json.dumps({"request": "Flip.", **asked}))
    with pytest.raises(TargetError, match="'heads' stands more than once") as caught:
        choices(file)
    assert caught.value.where == str(file)
    with pytest.raises(TargetError, match="more than once"):
        parse_target("choices({'Flip.': ['heads', 'tails', 'heads']})")


def test_answers_that_the_tokenizer_writes_alike_are_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    with pytest.raises(TargetError, match="'Fox' are the same tokens"):
        choices({"Say it.": ["fox", "Fox"]}).bind(vocabulary, tokenizer)
