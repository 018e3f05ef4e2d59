"""What is exported: a tilted model with its label, its base, and its target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from tiltlm.errors import ConfigError, ModelError
from tiltlm.labels.label import Label
from tiltlm.models.adapter import is_adapter
from tiltlm.models.gguf import smollm2_file
from tiltlm.models.loading import LoadedModel, load, load_base
from tiltlm.models.places import locate
from tiltlm.models.structure import head_of, untie_head
from tiltlm.recipes.placement import Placement
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.from_label import bind_labelled

_DECODES_FIX = "export it --for vllm with --processor, or tilt it by edit: --by edit"


@dataclass(frozen=True)
class Source:
    """A tilted model that is to be exported.

    Attributes:
        folder: that holds its weights, adapter or label.
        label: of it.
        decodes: whether it has no weights: it is tilted by decoding alone.
        placement: of what is loaded.
    """

    folder: Path
    label: Label
    decodes: bool
    placement: Placement | None = None

    @cached_property
    def base(self) -> LoadedModel:
        """The base of its label.

        Raises:
            ModelError: it is not here, or has other weights than the label says.
        """
        return load_base(self.label.base, self.placement)

    @cached_property
    def target(self) -> BoundTarget:
        """The target of its label, bound and fitted."""
        return bind_labelled(self.label, self.base)

    @cached_property
    def whole(self) -> LoadedModel:
        """The whole model, an adapter merged into it, its head untied.

        Raises:
            ConfigError: there are no weights.
        """
        if self.decodes:
            raise ConfigError(
                "it is tilted by decoding alone, so there are no weights to write",
                where=str(self.folder),
                fix=_DECODES_FIX,
            )
        loaded = load(str(self.folder), placement=self.placement)
        untie_head(loaded.model)
        return loaded

    @property
    def is_adapter(self) -> bool:
        """Whether its weights are an adapter."""
        return is_adapter(self.folder)

    @property
    def gguf(self) -> Path | None:
        """The GGUF file that is its base; None where that is none."""
        name = self.label.base.name
        if name == "smollm2":
            return smollm2_file()
        return Path(name) if name.endswith(".gguf") else None

    def head(self) -> torch.Tensor:
        """(V, D) float32 weight of the tilted head.

        Raises:
            ModelError: more than the head was changed, or the head has a bias.
        """
        name, head = head_of(self.whole.model)
        _, base_head = head_of(self.base.model)
        if getattr(head, "bias", None) is not None:
            raise ModelError(
                "the head has a bias, which a GGUF file of this kind has no place for",
                where=str(self.folder),
                fix="export it --for transformers, and convert that",
            )
        own = self.whole.model.state_dict()
        for key, weight in self.base.model.state_dict().items():
            if key.startswith(f"{name}.") or weight is base_head.weight:
                continue
            if key not in own or not torch.equal(own[key].to(weight), weight):
                raise ModelError(
                    f"more than the head was changed ({key}), and the tensors of the base's GGUF "
                    "file are copied as they are",
                    where=str(self.folder),
                    fix="export it --for transformers, and convert that",
                )
        tilted: torch.Tensor = head.weight.detach().float().cpu()
        return tilted


def open_source(name: str, base: str | None = None, placement: Placement | None = None) -> Source:
    """A tilted model by its folder.

    Args:
        name: a folder of ``tiltlm tilt`` or ``tiltlm run``, or the one inside it.
        base: where the base of its label lies now; None where the label says.
        placement: of what is loaded, as for `load`.

    Raises:
        ConfigError: it has no label.
    """
    folder, label, decodes = locate(name)
    if label is None:
        raise ConfigError(
            "there is no label (tilt.json) in this folder, nor in model/ inside it",
            where=name,
            fix="name a folder that `tiltlm tilt` wrote",
        )
    if base is not None:
        found = label.base.model_copy(update={"name": base, "hub_name": None})
        label = label.model_copy(update={"base": found})
    return Source(Path(folder), label, decodes, placement)
