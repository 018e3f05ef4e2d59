"""One self-contained HTML page for a verification; computes nothing."""

from __future__ import annotations

import math

from tiltlm.records.verify import VerifyRecord
from tiltlm.report.plot_style import AFTER, BEFORE, Plot, new_figure, plot_of, styled
from tiltlm.report.rendering import templates


def render_verify(record: VerifyRecord) -> str:
    """The page of a verification, as text.

    Args:
        record: of the verification.
    """
    page = templates().get_template("verify.html")
    plot = styled(_course, record) if record.course else None
    return page.render(record=record, course_plot=plot)


def _course(record: VerifyRecord) -> Plot:
    figure, axes = new_figure(2.8)
    tokens, tilt, base = zip(*[(0, 0.0, 0.0), *record.course], strict=True)
    decided = -math.log10(record.error)
    for values, colour, name in ((tilt, AFTER, "the tilt"), (base, BEFORE, "the base")):
        capped = [min(value, 3 * decided) for value in values]
        axes.plot(tokens, capped, color=colour, linewidth=1.8, label=f"against {name}")
    axes.axhline(decided, color=BEFORE, linewidth=1, linestyle="--")
    axes.text(tokens[-1], decided, "ruled out", color=BEFORE, ha="right", va="bottom")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 3 * decided)
    axes.set_xlabel("tokens")
    axes.set_ylabel("evidence, powers of ten")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    alt = (
        f"After {tokens[-1]} tokens the evidence against the tilt is 10 to the {tilt[-1]:.1f}, and "
        f"against the base 10 to the {base[-1]:.1f}; each is ruled out at {decided:.1f}."
    )
    rows = [
        [str(token), f"{of_tilt:.2f}", f"{of_base:.2f}"]
        for token, of_tilt, of_base in zip(tokens, tilt, base, strict=True)
    ]
    return plot_of(figure, alt, ("tokens", "against the tilt", "against the base"), rows)
