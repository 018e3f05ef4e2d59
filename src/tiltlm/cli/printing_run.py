"""What `tiltlm run`, `tiltlm demo` and `tiltlm tilt` print of their records. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.report.event_words import in_words
from tiltlm.report.wording import counted
from tiltlm.strings.catalogue import read_strings

if TYPE_CHECKING:
    from tiltlm.records.run import RunRecord
    from tiltlm.records.tilt import TiltRecord


def tilt_summary(record: TiltRecord, out: Path) -> str:
    """What the target asked for and what came of it, in a few lines.

    Args:
        record: of the tilt.
        out: the folder that holds it; its path, or that of the model in it, is the last line.
    """
    fidelity, lines = record.fidelity, [f"\n{record.sentence}"]
    for event in record.events:
        words = in_words(event.event)
        lines.append(f"  {words}, {event.event[:60]}" if words else f"  {event.event[:60]}")
        lines.append(
            f"    mass {event.base.mean:.3%} before, {event.target.mean:.3%} wished, "
            f"{event.model.mean:.3%} now"
        )
    low, high = fidelity.interval or (fidelity.gap_closed, fidelity.gap_closed)
    lines.append(
        f"  gap closed {fidelity.gap_closed:.3f} (95 % {low:.3f} to {high:.3f}, over "
        f"{counted(record.held_out_contexts, 'context')} never fitted to)"
    )
    if record.collateral_nats is not None:
        lines.append(f"  collateral {record.collateral_nats:.2g} nats a token outside the event")
    if record.leakage_nats is not None:
        lines.append(f"  leakage where nothing is asked for: {record.leakage_nats:.2g} nats")
    lines.append(f"\n{out if record.by == 'decode' else out / 'model'}")
    return "\n".join(lines)


def run_summary(record: RunRecord, page: Path, language: str = "en") -> str:
    """Figures before and after training and the loss, in a few lines.

    Args:
        record: of the run.
        page: that shows it; its path is the last line.
        language: of the lines.
    """
    strings = read_strings(language)
    event, seconds, say = record.event, record.seconds, strings.text
    words = in_words(event.text, language)
    named = f"{words}, {event.text}" if words else event.text
    vocabulary = f"{event.vocabulary:,}"
    lines = [
        "\n" + say("demo.event", event=named, tokens=f"{event.tokens:,}", vocabulary=vocabulary)
    ]
    for name, state in (("before", record.before), ("after", record.after)):
        low, high = state.interval
        told = say(
            "demo.state", hits=f"{state.hits:>3}", tokens=state.tokens,
            rate=f"{state.hit_rate:.1%}", low=f"{low:.1%}", high=f"{high:.1%}",
            mass=f"{state.event_mass:.2%}",
        )  # fmt: skip
        lines.append(f"  {say(f'demo.{name}'):<7} {told}")
    loss = say(
        "demo.loss", first=f"{record.loss.first:.2f}", last=f"{record.loss.last:.3f}",
        steps=strings.counted(record.steps, "step"), train=f"{seconds.train:.0f}",
        total=f"{seconds.total:.0f}",
    )  # fmt: skip
    lines.append(f"  {say('demo.loss_name'):<7} {loss}")
    lines.append("\n" + say("demo.open", page=page))
    return "\n".join(lines)
