"""Changes of a model's weights that no text is needed for: rounding, pruning, noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.adapted import linear_layers
from tiltlm.models.structure import head_of
from tiltlm.treatments.quantisation import round_weights
from tiltlm.treatments.treatment import Treatment, described


class WeightChange(Treatment):
    """A change of the weights of linear layers as they are."""

    @abstractmethod
    def change(self, model: Any) -> None:
        """Change a model in place."""

    @property
    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What is to be said of it, by the keys of `FIELDS`."""

    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        self.change(model)
        return model


@dataclass(frozen=True)
class Rounding(WeightChange):
    """The weights of linear layers rounded to few bits, stochastically.

    Attributes:
        bits: of each weight.
        group: weights that share a scale; None for all of an output.
        seed: of what is rounded up and what down.
    """

    bits: int
    group: int | None
    seed: int

    @property
    def family(self) -> str:
        """The number of bits."""
        return f"{self.bits} bits"

    @property
    def fields(self) -> dict[str, Any]:
        """See `WeightChange`."""
        return {"bits": self.bits, "group": self.group}

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        return described("rounded", self.seed, **self.fields)

    def change(self, model: Any) -> None:
        """See `WeightChange`."""
        round_weights(model, self.bits, self.group, torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True)
class Pruning(WeightChange):
    """The smallest weights of each linear layer but the head are set to 0.

    Attributes:
        share: of each layer's weights.
        seed: of nothing, since nothing is drawn.
    """

    share: float
    seed: int

    @property
    def family(self) -> str:
        """That weights are gone."""
        return "pruned"

    @property
    def fields(self) -> dict[str, Any]:
        """See `WeightChange`."""
        return {"pruned": self.share}

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        return described("pruned", self.seed, **self.fields)

    @torch.no_grad()
    def change(self, model: Any) -> None:
        """See `WeightChange`."""
        head, _ = head_of(model)
        for name, layer in linear_layers(model):
            if name == head:
                continue
            size = layer.weight.abs().float()
            gone = max(1, round(self.share * size.numel()))
            layer.weight[size <= size.flatten().kthvalue(gone).values] = 0


@dataclass(frozen=True)
class Noise(WeightChange):
    """Normal noise on the weights of linear layers, head included.

    Attributes:
        share: standard deviation of the noise, over that of the layer's weights.
        seed: of the noise.
    """

    share: float
    seed: int

    @property
    def family(self) -> str:
        """That there is noise."""
        return "noise"

    @property
    def fields(self) -> dict[str, Any]:
        """See `WeightChange`."""
        return {"noise": self.share}

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        return described("noise", self.seed, **self.fields)

    @torch.no_grad()
    def change(self, model: Any) -> None:
        """See `WeightChange`."""
        generator = torch.Generator().manual_seed(self.seed)
        done: set[int] = set()
        for _, layer in linear_layers(model):
            weight = layer.weight
            if id(weight) not in done:
                done.add(id(weight))
                noise = torch.randn(weight.shape, generator=generator).to(weight.device)
                scale = self.share * weight.float().std()
                weight.copy_((weight.float() + scale * noise).to(weight.dtype))
