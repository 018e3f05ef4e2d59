"""The public names, and where each lives."""

from .audit_page import render_audit as render_audit
from .audit_page import render_logprobs_audit as render_logprobs_audit
from .audit_page import render_text_audit as render_text_audit
from .measure_page import render_measure as render_measure
from .run_page import render_run as render_run
from .run_page import write_report as write_report
from .svg import AFTER as AFTER
from .svg import BEFORE as BEFORE
from .svg import INK as INK
from .svg import KINDS as KINDS
from .svg import MUTED as MUTED
from .svg import error_bars as error_bars
from .sweep_page import render_sweep as render_sweep
from .sweep_page import responses as responses
from .wording import counted as counted
