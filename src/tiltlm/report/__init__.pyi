"""The public names, and where each lives."""

from .audit_page import render_audit as render_audit
from .audit_page import render_logprobs_audit as render_logprobs_audit
from .audit_page import render_text_audit as render_text_audit
from .measure_page import render_measure as render_measure
from .plot_style import AFTER as AFTER
from .plot_style import BEFORE as BEFORE
from .plot_style import INK as INK
from .plot_style import KINDS as KINDS
from .plot_style import MUTED as MUTED
from .plot_style import error_bars as error_bars
from .run_page import render_run as render_run
from .run_page import write_report as write_report
from .sweep_page import render_sweep as render_sweep
from .sweep_page import responses as responses
from .verify_page import render_verify as render_verify
from .wording import counted as counted
