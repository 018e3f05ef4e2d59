"""Open what was saved, ready to be sampled from whatever way it was realised."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.models.loading import load, load_base, locate
from tiltlm.recipes.placement import Placement
from tiltlm.targets.from_label import bind_labelled
from tiltlm.targets.logits_processor import TiltLogitsProcessor


@dataclass(frozen=True)
class Opened:
    """A model as it is to be sampled from.

    Attributes:
        model: the tilted model; where it was tilted by decoding, its base.
        tokenizer: that belongs to the model.
        processor: to sample with, where the model was tilted by decoding; else None.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    processor: TiltLogitsProcessor | None


def open_tilted(name: str, *, seed: int = 0, placement: Placement | None = None) -> Opened:
    """Load a model; of a folder made by decoding, its base with the processor of its label.

    Args:
        name: as for `load`; also a folder of ``tiltlm tilt`` or ``tiltlm run``.
        seed: of the weights of ``model5``, where that is the name.
        placement: as for `load`.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    folder, label, decodes = locate(name)
    if label is None or not decodes:
        loaded = load(folder, seed=seed, placement=placement)
        return Opened(loaded.model, loaded.tokenizer, None)
    base = load_base(label.base, placement)
    processor = TiltLogitsProcessor(bind_labelled(label, base), base.tokenizer.pad_token_id)
    return Opened(base.model, base.tokenizer, processor)
