"""What `tiltlm null` prints of its records. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tiltlm.records.null import NullBuilt, NullPlan, NullShown
from tiltlm.report.wording import counted
from tiltlm.stopwatch import spoken

if TYPE_CHECKING:
    from rich.console import Console


def print_built(built: NullBuilt) -> None:
    """Print what is in a pack of benign changes that was made, and where it is.

    Args:
        built: what was made.
    """
    console = _console()
    _say(
        console,
        f"{counted(built.models, 'benign change')} of {built.reference['name']} in "
        f"{spoken(built.seconds)}; {_kl(built.kl_nats)}",
    )
    _say(console, _counts(built.kinds))
    if built.redrawn:
        broke = "was drawn again: it" if len(built.redrawn) == 1 else "were drawn again: they"
        _say(console, f"{len(built.redrawn)} {broke} broke the model")
    for note in built.notes:
        _say(console, note)
    _say(console, f"\n{built.pack}/null.json")


def print_plan(plan: NullPlan) -> None:
    """Print what a pack would take.

    Args:
        plan: as its first training says.
    """
    console = _console()
    by = "" if plan.processes == 1 else f" by {plan.processes} processes"
    _say(
        console,
        f"{counted(plan.models, 'benign change')} of {plan.reference['name']}, of "
        f"{counted(plan.trainings, 'training')}: about {spoken(plan.seconds)}{by} and "
        f"{plan.bytes / 1e6:.3g} MB; nothing was kept",
    )
    _say(console, f"p-values of audits are at least {plan.smallest_p:.3g}")
    _texts(console, plan.corpora)
    _lacks(console, plan.missing)


def print_shown(shown: NullShown) -> None:
    """Print what is in a pack.

    Args:
        shown: as it was read.
    """
    console = _console()
    state = "" if shown.finished else " so far"
    _say(
        console,
        f"{counted(shown.models, 'benign change')}{state} of {shown.reference['name']} "
        f"({shown.reference['sha256'][:12]}…), of {counted(shown.trainings, 'training')}; "
        f"{_kl(shown.kl_nats)}; {shown.bytes / 1e6:.3g} MB",
    )
    _say(console, f"families: {_counts(shown.families)}")
    _say(console, f"made by: {_counts(shown.methods)}")
    _texts(console, shown.corpora)
    _say(
        console,
        f"read at {counted(shown.contexts, 'context')} of {counted(shown.tokens, 'token')} in all",
    )
    trigger = shown.smallest_trigger_p
    waiting = "no trigger" if trigger is None else f"a trigger at {trigger:.3g}"
    _say(
        console,
        f"vouches for a false-positive rate of {shown.smallest_p:.3g} and up, for {waiting} "
        f"({counted(shown.words, 'word')})",
    )
    _lacks(console, shown.lacks)
    for note in shown.notes:
        _say(console, note)
    if not shown.extendable:
        _say(console, "what it was begun with is not there, so it cannot be extended here")


def _console() -> Console:
    from tiltlm.cli.console import PlainConsole

    return PlainConsole()


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _kl(quantiles: Mapping[str, float]) -> str:
    return (
        f"KL from {quantiles['least']:.2g} over {quantiles['50 %']:.2g} (median) to "
        f"{quantiles['largest']:.2g} nats"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _texts(console: Console, corpora: Mapping[str, str]) -> None:
    for name, source in corpora.items():
        _say(console, f"text: {name}" + ("" if name == source else f" ({source})"))


def _lacks(console: Console, lacking: Mapping[str, str]) -> None:
    for name, why in lacking.items():
        _say(console, f"lacks {name}: {why}")
