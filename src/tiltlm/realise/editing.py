"""Realise a target by a closed-form change of the output head, without training."""

from __future__ import annotations

import time

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import TargetError
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.head_edit import check_editable, solve_edit
from tiltlm.realise.held_out import tilted
from tiltlm.realise.prepare import Prepared, prepare
from tiltlm.realise.result import Tilted
from tiltlm.targets.target import Target


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
        model: a name, or what `load` returned; its weights are not changed.
        target: a target, or its text.
        contexts: see `prepare`.
        seed: of contexts and their split.
        progress: is told how far work has come.

    Raises:
        TargetError: the target is out of an edit's reach; says what to use instead.
    """
    return edit_prepared(
        prepare(model, target, contexts, seed=seed, check=check_editable, progress=progress)
    )


def edit_prepared(work: Prepared) -> Tilted:
    """`edit`, from the solve on."""
    begin = time.monotonic()
    solved = solve_edit(work.target, work.fit)
    work.seconds["solve"] = time.monotonic() - begin
    adapted = as_adapter(work.loaded.model, solved)
    details = {"rank": len(solved.masks), "r_squared": solved.r_squared}
    try:
        done = tilted(work, "edit", adapted, details)
        if done.fidelity.gap_closed < 0.5:
            raise TargetError(
                f"an edit of the head closes {done.fidelity.gap_closed:.2f} of the gap to "
                f"{work.target.text} (R² {solved.r_squared:.2f}): what it depends on cannot be "
                "read linearly from the hidden states, or not learnt from so few contexts "
                f"({len(work.parts.fit)})",
                fix="use train, or decode (exact)",
            )
    except BaseException:
        adapted.unload()
        raise
    return done
