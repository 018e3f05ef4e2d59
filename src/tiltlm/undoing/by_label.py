"""Undo a tilt of our own by its label: the base's weights, bit for bit.

An adapter is dropped; of a merged model every tensor that differs from the base's is put back. The
label says by SHA-256 which weights those are, so that no other base is taken for it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel

from tiltlm.errors import ConfigError
from tiltlm.labels.step import LabelBase
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load_base
from tiltlm.models.model5 import Model5ForCausalLM, from_gpt2
from tiltlm.models.placement import held_dtype
from tiltlm.records.undo import RestoredRecord
from tiltlm.undoing.undone import Undone


def undo_by_label(model: LoadedModel, base: LoadedModel) -> Undone:
    """Put the base's weights back.

    Args:
        model: the tilted one.
        base: as `load_base` gives it, which has compared it with the label's SHA-256.
    """
    changed = differing_tensors(model.model, base.model)
    sentence = f"{len(changed)} of its tensors were put back to the base's, bit for bit"
    return Undone("label", base, sentence, changed=tuple(changed))


def differing_tensors(model: PreTrainedModel, base: PreTrainedModel) -> list[str]:
    """Names of the tensors of a model that are not the base's, to the bit.

    Args:
        model: of the same architecture.
        base: what it was made from.
    """
    before = base.state_dict()
    return [
        name
        for name, tensor in model.state_dict().items()
        if name not in before or not _same_bits(tensor, before[name])
    ]


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = (t.detach().cpu().contiguous().view(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(first, second)


def restored(folder: Path, base: LoadedModel, undone: Undone) -> RestoredRecord:
    """Read the saved weights back, and compare their SHA-256 with the base's.

    Args:
        folder: that holds them.
        base: whose weights they should be.
        undone: by label.

    Raises:
        ConfigError: they are other weights; nothing that a user could have done.
    """
    wanted = fingerprint(base.model)
    read = load_base(LabelBase(name=str(folder), sha256=None, dtype=held_dtype(base.model))).model
    if isinstance(base.model, Model5ForCausalLM):
        # Model 5 is saved as plain GPT-2, from which its own weights come back to the bit.
        again = Model5ForCausalLM(base.model.config)
        from_gpt2(read, again)
        read = again
    found = fingerprint(read)
    if found != wanted:
        raise ConfigError("the weights that were saved are not the base's", where=str(folder))
    return RestoredRecord(
        sha256=wanted, saved_sha256=found, exact=found == wanted, changed=list(undone.changed)
    )
