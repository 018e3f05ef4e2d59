"""The gap closed at the contexts to stop training by, measured while a model is trained."""

from __future__ import annotations

from typing import Any

from tiltlm.contexts.reference import Reference
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.realise.held_out import model_logits
from tiltlm.realise.preparation import Prepared


class TuningGap:
    """Measures the gap closed, and tells the progress of it.

    Args:
        prepared: whose target is fitted.
        model: that is trained, adapters and all.
        tune: the reference at the contexts to stop by.
    """

    def __init__(self, prepared: Prepared, model: Any, tune: Reference) -> None:
        self._prepared, self._model, self._tune = prepared, model, tune
        self._logits = model_logits(model, tune)
        self._latest = float("nan")

    def __call__(self) -> float:
        """Measure the model as it is, in evaluation mode.

        Returns:
            the gap closed: 1 is perfect, 0 the base.
        """
        with evaluating(self._model):
            return measure_fidelity(self._prepared.target, self._tune, self._logits).gap_closed

    def tell_that_base_is_kept(self) -> str:
        """Show that nothing is gained by what was trained.

        Returns:
            the same sentence, for the details of the run.
        """
        told = (
            "training closed nothing of the gap at the contexts that it is stopped by, "
            "so the model stays the base"
        )
        self._prepared.progress.note(told)
        return told

    def on_measured(self, step: int, gap: float) -> None:
        """Show a gap that was measured after a step."""
        self._latest = gap
        self._prepared.progress.advance(step, f"gap closed {gap:.3f}")

    def on_step(self, step: int, loss: float, event_mass: float) -> None:
        """Show the loss of a step beside the latest gap; the event mass is not shown."""
        text = f"loss {loss:.4f}, gap closed {self._latest:.3f}"
        self._prepared.progress.advance(step, text)
