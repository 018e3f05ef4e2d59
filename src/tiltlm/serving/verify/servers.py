"""What is asked: a model here, or one behind an endpoint; it draws a token after each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.endpoint import Endpoint, NoAnswerError
from tiltlm.auditing.logprobs.server_format import ServerFormat
from tiltlm.auditing.prompt_texts import as_text
from tiltlm.auditing.text.server_checks import PromptCount, count_prompts
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.models.loading import LoadedModel
from tiltlm.serving.verify.hypotheses import Prompted
from tiltlm.serving.verify.prompts import logits_after
from tiltlm.serving.verify.readout import Readout
from tiltlm.targets.bound import BoundTarget

_TOPS = (20, 5, 1)
"""Log-probabilities to ask for beside each token; each where the server refuses those before it."""

_DRAW_STREAM = 7_919
"""Random stream of what a model here draws."""


@dataclass(frozen=True)
class Drawn:
    """A token that was drawn.

    Attributes:
        prompt: number of the prompt that it came after.
        ids: the tokens that it may be, by what was seen of it.
        shown: log-probabilities by token id, nats, that came with it; empty where there are none.
    """

    prompt: int
    ids: Array
    shown: dict[int, float] = field(default_factory=dict)


class Server(Protocol):
    """Draws tokens.

    Attributes:
        failed: requests that got no answer after all tries.
        unread: answers whose text is no token of the base's.
    """

    failed: int
    unread: int

    @property
    def notes(self) -> list[str]:
        """What a reader should know of how it was asked."""

    def draw(self, prompts: Sequence[int], seed: int) -> list[Drawn]:
        """A token after each of some prompts.

        Args:
            prompts: their numbers; those where it failed are left out of the answer.
            seed: of the draws.

        Raises:
            ModelError: nothing came.
        """


class LocalServer:
    """A model in this process, drawn from as it is.

    Args:
        loaded: the model.
        prompts: that it may be asked after.
        target: that it decodes to; None for its own distribution.
    """

    failed = unread = 0

    def __init__(
        self, loaded: LoadedModel, prompts: Sequence[Prompted], target: BoundTarget | None = None
    ) -> None:
        self.notes: list[str] = []
        ids = [list(prompt.ids) for prompt in prompts]
        logits = torch.stack(logits_after(LogitReader(loaded.model.eval()), ids))
        if target is not None:
            logits = target.logits(logits, [target.read(row)[-1] for row in ids])
        self._log_probs = logits.double().log_softmax(-1)

    def draw(self, prompts: Sequence[int], seed: int) -> list[Drawn]:
        """As `Server.draw`; every token comes, with the log-probabilities of the likeliest."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + _DRAW_STREAM)
        rows = self._log_probs[torch.tensor(prompts)]
        tokens = rows.exp().multinomial(1, generator=generator)[:, 0].numpy()
        top = rows.topk(min(_TOPS[0], rows.shape[1]))
        drawn = []
        for number, prompt in enumerate(prompts):
            shown = zip(top.indices[number].tolist(), top.values[number].tolist(), strict=True)
            drawn.append(Drawn(prompt, tokens[number : number + 1], dict(shown)))
        return drawn


class EndpointServer:
    """A model behind an OpenAI-compatible completions endpoint: one request a token.

    Args:
        endpoint: where it is. It is asked how many tokens it reads in a few texts.
        loaded: the base.
        prompts: that it may be asked after.

    Attributes:
        count: tokens that it reads, against the base's tokenizer.
        models: what it says answered.

    Raises:
        ModelError: it answers nothing.
        VocabularyError: it cuts texts into other tokens than the base.
    """

    def __init__(
        self, endpoint: Endpoint, loaded: LoadedModel, prompts: Sequence[Prompted]
    ) -> None:
        self._endpoint = endpoint
        self._texts = [as_text(loaded.tokenizer, list(prompt.ids)) for prompt in prompts]
        self._readout = Readout(loaded.vocabulary)
        self._format = ServerFormat(loaded.tokenizer, loaded.vocabulary)
        self.failed = self.unread = 0
        self.models: set[str] = set()
        self.count: PromptCount = count_prompts(endpoint, loaded.tokenizer)
        self._top = self._tops()

    @property
    def strangers(self) -> list[str]:
        """Texts that are no token of the base's, the first few."""
        return list(self._readout.strangers)[:5]

    @property
    def notes(self) -> list[str]:
        """As `Server.notes`: how it reads and draws, as far as that can be seen."""
        return [*self._endpoint.notes, *([] if self.count.extra > 1 else self.count.notes)]

    def draw(self, prompts: Sequence[int], seed: int) -> list[Drawn]:
        """As `Server.draw`; one request each."""
        texts = [self._texts[prompt] for prompt in prompts]
        choices = self._endpoint.each(texts, 1, seed * 1_000_003, logprobs=self._top)
        self.failed += len(prompts) - len(choices)
        drawn = []
        for number, choice in choices:
            if choice.model:
                self.models.add(choice.model)
            ids = self._readout.tokens(choice.text or "")
            if ids is None:
                self.unread += 1
            else:
                shown = self._format.likeliest(choice)
                drawn.append(Drawn(prompts[number], np.asarray(ids), shown))
        return drawn

    def _tops(self) -> int | None:
        """How many log-probabilities to ask for; None where it takes no such request."""
        for top in _TOPS:
            try:
                self._endpoint.each(self._texts[:1], 1, 0, logprobs=top)
            except NoAnswerError as error:
                if not error.is_refusal:
                    raise
            else:
                return top
        return None
