"""`tiltlm sample`, of models that were realised in every way."""

import json

import pytest
import torch

from tests.tiny import tiny_loaded


def share_of_o(lines):
    """Of the tokens that were drawn, those with an o."""
    tokenizer = tiny_loaded().tokenizer
    texts = [tokenizer.decode([i]) for line in lines for i in line["token_ids"]]
    return sum("o" in text for text in texts) / len(texts)


@pytest.mark.parametrize("by", ["edit", "decode"])
def test_a_folder_of_tilt_is_sampled_as_it_was_realised(tiltlm_command, base, tmp_path, by):
    target = ["--target", "match(contains('o'), 0.9)", "--contexts", "random", "--by", by]
    assert tiltlm_command("tilt", base, *target, "--out", tmp_path / by)[0] == 0
    sizes = ("--new-tokens", 20, "--sequences", 10, "--json")
    shares = []
    for model in (base, tmp_path / by):
        code, out, err = tiltlm_command("sample", model, *sizes)
        assert code == 0
        assert err.startswith("drawing tokens 20/20, ")
        shares.append(share_of_o(json.loads(line) for line in out.splitlines()))
    # 200 tokens, of which 0.05 and 0.9 are wanted; each bound is more than 5 standard errors away.
    assert shares[0] < 0.3
    assert shares[1] > 0.7


def test_a_prompt_is_continued_and_an_empty_one_refused(tiltlm_command, base):
    code, out, _ = tiltlm_command("sample", base, "--prompt", "the fox", "--new-tokens", 3)
    assert code == 0
    assert out
    code, _, err = tiltlm_command("sample", base, "--prompt", "")
    assert code == 2
    assert "the prompt has no tokens" in err


def test_the_same_seed_draws_the_same_tokens(tiltlm_command, base):
    draws = [tiltlm_command("sample", base, "--json", "--seed", seed)[1] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert torch.initial_seed() == 0
