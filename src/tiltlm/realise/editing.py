"""Realise a target by a closed-form change of the output head, without training."""

from __future__ import annotations

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import TargetError
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.head_edit import check_editable, solve_edit
from tiltlm.realise.held_out import measure_realised
from tiltlm.realise.preparation import Prepared, prepare
from tiltlm.realise.result import Tilted
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.target import Target

LEAST_GAP_CLOSED = 0.5
"""An edit that closes less of the gap to the target than this is refused."""


def edit(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tilted:
    """Realise a target by a closed-form change of the head, as a peft adapter.

    Args:
        model: a name for `load`, or what `load` returned. Its weights are not changed; the adapter
            is put into it, and ``tilted.model.unload()`` takes the adapter out again.
        target: a target, or its text.
        contexts: as for `prepare`.
        seed: of contexts and their split.
        progress: told how far work has come.

    Raises:
        TargetError: no edit of the head realises the target; says what to use instead.
        TiltError: any other of the tree in `errors`.
    """
    return edit_prepared(
        prepare(model, target, contexts, seed=seed, check=check_editable, progress=progress)
    )


def edit_prepared(prepared: Prepared) -> Tilted:
    """What `edit` does once the reference was read: solve, put the adapter in, and measure.

    Args:
        prepared: whose target is fitted.

    Raises:
        TargetError: no edit of the head realises the target, or the best one closes less than
            `LEAST_GAP_CLOSED`; the adapter is then taken out again.
    """
    watch = Stopwatch()
    solved = solve_edit(prepared.target, prepared.fit)
    prepared.seconds["solve"] = watch.total
    adapted = as_adapter(prepared.loaded.model, solved)
    details = {"rank": len(solved.masks), "r_squared": solved.r_squared}
    try:
        tilted = measure_realised(prepared, "edit", adapted, details)
        gap_closed = tilted.fidelity.gap_closed
        if gap_closed < LEAST_GAP_CLOSED:
            raise TargetError(
                f"an edit of the head closes {gap_closed:.2f} of the gap to "
                f"{prepared.target.text} (R² {solved.r_squared:.2f}): what it depends on cannot be "
                "read linearly from the hidden states, or not learnt from so few contexts "
                f"({len(prepared.parts.fit)})",
                fix="use train, or decode (exact)",
            )
    except BaseException:
        adapted.unload()
        raise
    return tilted
