"""Tiny models of many architectures over a tiny byte-level tokenizer."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tests.devices import placed
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel

TEXT = "the fox and the box: six foxes, a testament to coffee. she said that he had 12 axes. " * 3
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def byte_level_tokenizer(
    texts: list[str], size: int, end: str = "<eos>", pad: str | None = "<eos>"
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of at most so many tokens, trained on texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, bos_token=end, pad_token=pad
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """320 byte-level tokens."""
    return byte_level_tokenizer([TEXT], 320)


def tiny_config(kind: str, size: int):
    """A config of an architecture."""
    match kind:
        case "gpt2":
            return GPT2Config(
                vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64, **SPECIAL
            )
        case "gpt_neox":
            return GPTNeoXConfig(vocab_size=size, **SIZES, **SPECIAL)
        case "llama":
            return LlamaConfig(vocab_size=size, **SIZES, **SPECIAL)
        case "llama_tied":
            return LlamaConfig(vocab_size=size, **SIZES, **SPECIAL, tie_word_embeddings=True)
        case "qwen2":
            return Qwen2Config(vocab_size=size, **SIZES, **SPECIAL)
        case "gemma2":
            return Gemma2Config(
                vocab_size=size,
                **SIZES,
                **SPECIAL,
                head_dim=16,
                final_logit_softcapping=20.0,
                tie_word_embeddings=False,
            )
        case "granite":
            return GraniteConfig(vocab_size=size, **SIZES, **SPECIAL, logits_scaling=4.0)
        case "cohere":
            return CohereConfig(vocab_size=size, **SIZES, **SPECIAL, logit_scale=0.25)
    raise KeyError(kind)


KINDS = ["gpt2", "gpt_neox", "llama", "llama_tied", "qwen2", "gemma2", "granite", "cohere"]


def tiny_loaded(kind: str = "llama") -> LoadedModel:
    """A random model with two properties of trained ones.

    Logits spread enough for contexts to differ, and one hidden dimension is large and alike in
    every context ("massive activations"): without it no direction has h·u ≈ 1, and no edit exists.
    """
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    # As in many real models, the head has a few rows more than there are tokens.
    model = AutoModelForCausalLM.from_config(tiny_config(kind, len(tokenizer) + 8))
    make_editable(model)
    return LoadedModel(placed(model.eval()), tokenizer)


def make_editable(model):
    """Give a random model the two properties that `tiny_loaded` tells of."""
    with torch.no_grad():
        head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        head.mul_(20.0)
        embedding[:, 0] = 4 * embedding.norm(dim=1).mean()
        if head is not embedding:
            head[:, 0] = 0.0


def tiny_perturbed(kind: str = "llama") -> LoadedModel:
    """The same with a little noise on every weight."""
    loaded = tiny_loaded(kind)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter += 0.03 * parameter.std() * torch.randn_like(parameter)
    return loaded


def three_syllables(count: int) -> Vocabulary:
    """Tokens of three syllables, every other with a space before it."""
    parts = ["ba", "do", "ki", "lu", "me", "no", "pi", "ru", "so", "ta"]
    made = [
        f"{' ' if i % 2 else ''}{a}{b}{c}"
        for i, a in enumerate(parts)
        for b in parts
        for c in parts
    ]
    return Vocabulary(tuple(w.encode() for w in made[:count]))


HALVES = 1.0


def worded_loaded(seed: int = 0) -> LoadedModel:
    """A random model over some 500 tokens, most of them words of two syllables."""
    parts = ["ba", "do", "ki", "lu", "me", "no", "pi", "ru", "so", "ta", "vi", "zu"]
    words = [a + b for a in parts for b in parts]
    text = " ".join(words) + "\n" + "".join(words)
    tokenizer = byte_level_tokenizer([text] * 3, 560)
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=len(tokenizer), **SIZES, **SPECIAL, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20.0)
        embedding = model.get_input_embeddings().weight
        embedding[:, 0] = 4 * embedding.norm(dim=1).mean()
        # Halves of characters are rare, as in trained models.
        halves = torch.tensor(["\ufffd" in tokenizer.decode([i]) for i in range(len(tokenizer))])
        model.get_output_embeddings().weight[:, 0] = torch.where(halves, -HALVES, 0.0)
    return LoadedModel(placed(model.eval()), tokenizer)


def passes_of(model):
    """A list that grows by one with each pass of a model."""
    counted = []
    model.register_forward_pre_hook(lambda *_: counted.append(1))
    return counted
