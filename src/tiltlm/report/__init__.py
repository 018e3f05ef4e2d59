"""Reports: a record in, one self-contained HTML page out. Nothing is computed or measured here.

run_page       the page of a run
measure_page   the page of a measurement
sweep_page     the page of a sweep
undo_page      the page of an undoing
challenge_page the leaderboard of a challenge
audit_page     the pages of the three kinds of audit
verify_page    the page of a verification
run_plots      figures of a run
measure_plots  figures of a measurement
audit_plots    figures of an audit
undo_plots     figures of an undoing
plot_style     what all figures share: colours, style, SVG text
event_words    classes of tokens in words
rendering      the templates of the pages and their filters
wording        numbers with their nouns

The templates are in the folder ``templates``. Knows the records and nothing else of tiltlm.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
