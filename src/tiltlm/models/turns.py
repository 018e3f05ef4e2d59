"""Models that take turns in memory: the weights of one are there, those of the others on disk.

Whoever runs a model need not know of it: a model whose turn it is not takes it when it is run, and
its weights are loaded again after those of the other were let go. That is right in any order, and
fast where one model is read at all contexts before the other is. The head stays, to make logits of
hidden states that were kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ModelError
from tiltlm.models.loading import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Turns:
    """Room for the weights of one model among several."""

    def __init__(self) -> None:
        self._present: TakingTurns | None = None

    def open(self, opening: Callable[[], LoadedModel]) -> TakingTurns:
        """Load a model, once the one that has the room has let go of its weights.

        Args:
            opening: loads it, whenever its turn comes again; always the same weights.

        Raises:
            TiltError: what ``opening`` raises.
        """
        self._make_room()
        self._present = TakingTurns(opening, self)
        return self._present

    def give(self, loaded: TakingTurns) -> None:
        """Give a model the room, if another has it.

        Args:
            loaded: opened here.

        Raises:
            ModelError: it cannot be loaded again.
        """
        if self._present is not loaded:
            self._make_room()
            loaded.come()
            self._present = loaded

    def _make_room(self) -> None:
        if self._present is not None:
            self._present.let_go()
        self._present = None


class TakingTurns(LoadedModel):
    """A model whose weights are in memory when it is its turn, and loaded again when it is run.

    Args:
        opening: loads it.
        turns: says whose turn it is.
    """

    def __init__(self, opening: Callable[[], LoadedModel], turns: Turns) -> None:
        first = opening()
        given = {field.name: getattr(first, field.name) for field in fields(first)}
        self.__dict__.update(given, model=None, vocabulary=first.vocabulary)
        self.__dict__.update(_opening=opening, _turns=turns, _model=first.model)
        first.model.register_forward_pre_hook(lambda *_: turns.give(self))
        self._keep_head()

    @property
    def model(self) -> PreTrainedModel:
        """The model with its weights in memory; those of another are let go for it."""
        self._turns.give(self)
        return self._model

    def _keep_head(self) -> None:
        """Give the head memory of its own: one tensor of a mapped file keeps all of it mapped."""
        head: Any = self._model.get_output_embeddings()
        kept = [] if head is None else list(head.parameters())
        self.__dict__["_kept"] = {id(parameter) for parameter in kept}
        for parameter in kept:
            if parameter.device.type == "cpu":
                parameter.data = parameter.data.clone()

    def _that_go(self) -> dict[str, Any]:
        """The weights that come and go, by their names."""
        named = self._model.named_parameters()
        return {name: parameter for name, parameter in named if id(parameter) not in self._kept}

    def let_go(self) -> None:
        """Drop the weights, but for the head's."""
        import torch

        for parameter in self._that_go().values():
            # Still on its device and of its type, which is what models are asked for.
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def come(self) -> None:
        """Load the weights again.

        Raises:
            ModelError: it cannot be loaded, or is not the model that it was.
        """
        fresh = dict(self._opening().model.named_parameters())
        if fresh.keys() != dict(self._model.named_parameters()).keys():
            raise ModelError(
                "the model has other weights than when it was first loaded",
                where=str(self.name),
                fix="leave its files as they are while it is read",
            )
        for name, parameter in self._that_go().items():
            parameter.data = fresh[name].data

    _opening: Any
    _kept: set[int]
    _turns: Turns
    _model: PreTrainedModel
