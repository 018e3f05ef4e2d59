"""The public names of `auditing.logits`, and where each lives."""

from .audit import LogitsAccess as LogitsAccess
from .auditor import Auditor as Auditor
from .calibration import calibrated_auditor as calibrated_auditor
from .equivalence import certify_events as certify_events
from .evidence import finding_record as finding_record
from .evidence import shifted_tokens as shifted_tokens
from .finding import Finding as Finding
from .single_tokens import TokenShifts as TokenShifts
from .single_tokens import largest_token_shifts as largest_token_shifts
from .triggers import find_triggers as find_triggers
from .uncalibrated import find_uncalibrated as find_uncalibrated
