"""Tilt a model of a challenge by one of several ways, and tell how far it got."""

from __future__ import annotations

from dataclasses import replace

from peft import PeftModel

from tiltlm.challenges.drawing import Drawn
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.splits import split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.contexts.under_tilt import texts_under
from tiltlm.errors import TargetError
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.editing import edit
from tiltlm.realise.held_out import model_logits
from tiltlm.realise.merging import merge_adapter
from tiltlm.realise.training import train
from tiltlm.recipes.training import Training
from tiltlm.targets.target import Target
from tiltlm.targets.tilt import tilt
from tiltlm.targets.when import when
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.treatment import own_copy

LEAST_GAP_CLOSED = 0.3
"""A model that comes less far on the way to its tilt than this is tilted by edit instead."""

STEPS = 40
"""Of training."""

TRIGGER_STEPS = 100
"""Of training all weights towards a tilt that waits for a word."""

TEXTS = 64
"""Written under the tilt, to fine-tune on."""

TEXT_RATE = 0.1
"""Learning rate of that, over the model's width."""


def make_tilted(
    drawn: Drawn, reference: LoadedModel, contexts: TokenContexts
) -> tuple[LoadedModel, Drawn, float]:
    """A copy of the reference, tilted.

    Args:
        drawn: towards what, and how.
        reference: left as it is.
        contexts: to fit to.

    Returns:
        the model; what was really done, which is an edit where the way that was drawn did not get
        far enough; and the share of the gap to the tilt that is closed on held-out contexts.

    Raises:
        TargetError: not even an edit gets far enough.
    """
    assert drawn.event is not None
    target = tilt(drawn.event, drawn.strength)
    model, gap = _by(drawn, target, reference, contexts)
    if model is None or gap < LEAST_GAP_CLOSED:
        drawn = replace(drawn, way="edit", trigger=None)
        model, gap = _by(drawn, target, reference, contexts)
    if model is None:
        raise TargetError(f"no edit of the head realises {target}", fix="use another reference")
    return model, drawn, gap


def _by(
    drawn: Drawn, target: Target, reference: LoadedModel, contexts: TokenContexts
) -> tuple[LoadedModel | None, float]:
    """The model by one way and the gap that it closes; None where the way does not go."""
    if drawn.way == "text":
        return _on_text(drawn, target, reference, contexts)
    copied = LoadedModel(own_copy(reference), reference.tokenizer)
    try:
        if drawn.way == "edit":
            tilted = edit(copied, target, contexts, seed=drawn.seed)
        elif drawn.way == "train":
            training = Training(parameters="head", steps=STEPS)
            tilted = train(copied, target, contexts, training=training, seed=drawn.seed)
        else:
            assert drawn.trigger is not None
            training = Training(parameters="full", steps=TRIGGER_STEPS, start="base")
            waiting = when(drawn.trigger, target)
            source = f"own:{len(contexts)}"
            tilted = train(copied, waiting, source, training=training, seed=drawn.seed)
    except TargetError:
        return None, 0.0
    model = tilted.model
    if isinstance(model, PeftModel):
        model = merge_adapter(model, tilted.fit)
    return LoadedModel(model.eval(), reference.tokenizer), tilted.fidelity.gap_closed


def _on_text(
    drawn: Drawn, target: Target, reference: LoadedModel, contexts: TokenContexts
) -> tuple[LoadedModel, float]:
    """A copy of the reference that was fine-tuned on texts under the tilt."""
    bound = target.bind(reference.vocabulary, reference.tokenizer)
    length = max(len(ids) for ids in contexts.sequences)
    texts = texts_under(reference, bound, TEXTS, length, drawn.seed % 2**20)
    model = own_copy(reference)
    rate = TEXT_RATE / model.config.get_text_config().hidden_size
    fine_tune(model, texts, [STEPS], drawn.seed % 2**20, learning_rate=rate)
    held_out = Reference(reference.model, split(contexts, 0).held_out)
    fidelity = measure_fidelity(bound, held_out, model_logits(model, held_out))
    return LoadedModel(model, reference.tokenizer), fidelity.gap_closed
