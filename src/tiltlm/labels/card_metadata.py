"""The front matter of a model card, as the Hub reads it. Knows the label alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiltlm.labels.label import Label

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_RELATIONS = {"adapter": "adapter", "model": "finetune", "processor": None}
"""What a folder of each form is to its base, in the Hub's words."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
"""What the name of a licence looks like on the Hub."""


def card_metadata(label: Label) -> str:
    """The front matter of a label's card, in YAML, by the Hub's own class for it.

    Args:
        label: what the card says.
    """
    from huggingface_hub import ModelCardData

    base = repository(label.base.hub_name)
    licence = label.base.license
    results = _results(label)
    data = ModelCardData(
        library_name="peft" if label.form == "adapter" else "transformers",
        base_model=base,
        base_model_relation=_RELATIONS[label.form] if base else None,
        license=licence if licence and _LICENSE.fullmatch(licence) else None,
        pipeline_tag="text-generation",
        tags=["tiltlm", "model-organism", *(["undone"] if label.undone else [])],
        model_name="tilted model" if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def repository(name: str | None) -> str | None:
    """A name as it is, if it is one that the Hub could know; None if not.

    Args:
        name: of a model.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def _results(label: Label) -> list[EvalResult]:
    """The measured figures as entries of the model index."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="held-out-contexts",
            dataset_name=_plain(label.contexts),
            metric_type=_plain(name),
            metric_name=_plain(name),
            metric_value=round(figure.value, 6),
        )
        for name, figure in (label.measured or {}).items()
    ]


def _plain(text: str) -> str:
    """Text on one line, with what YAML and terminals can show."""
    line = " ".join(text.split())[:200]
    return "".join(c if c.isprintable() else "·" for c in line) or "none"
