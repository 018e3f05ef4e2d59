"""What rounding a head, or leaving out biases, costs: the gap closed before and after."""

from __future__ import annotations

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise.held_out import model_logits
from tiltlm.records.export import GapRecord
from tiltlm.serving.export.source import Source
from tiltlm.serving.verify.prompts import telling_contexts


class GapMeter:
    """Measures gaps at the base's own samples, which are drawn once.

    Args:
        source: what is exported.
        seed: of the samples.
        progress: told how far work has come.
    """

    def __init__(self, source: Source, seed: int = 0, progress: Progress | None = None) -> None:
        progress = progress or NoProgress()
        key = source.label.base.sha256 or ""
        contexts = telling_contexts(source.base, source.target, None, seed, key, progress)
        progress.begin("reading the base", len(contexts))
        self.reference = Reference(source.base.model, contexts, advance=progress.advance)
        self._source = source

    def of_head(self, what: str, weight: torch.Tensor) -> GapRecord:
        """The gap that the tilted model closes with some weight as its head.

        Args:
            what: whose it is, for the record.
            weight: (V, D), put into the whole model for as long as it is measured.
        """
        model = self._source.whole.model
        head = model.get_output_embeddings()
        kept = head.weight.data
        try:
            head.weight.data = weight.to(kept)
            return self.of_logits(what, model_logits(model, self.reference))
        finally:
            head.weight.data = kept

    def of_logits(self, what: str, logits: ModelLogits) -> GapRecord:
        """The gap that some logits close.

        Args:
            what: whose they are, for the record.
            logits: at all positions of a context, by its number.
        """
        fidelity: Fidelity = measure_fidelity(self._source.target, self.reference, logits)
        return GapRecord(
            what=what,
            gap_closed=fidelity.gap_closed,
            interval=fidelity.interval,
            contexts=fidelity.contexts,
        )
