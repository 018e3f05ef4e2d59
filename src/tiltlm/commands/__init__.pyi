"""The public names, and where each lives."""

from .audit_logits import run_audit as run_audit
from .audit_logprobs import run_logprobs_audit as run_logprobs_audit
from .audit_text import run_text_audit as run_text_audit
from .measure import run_measure as run_measure
from .null import build_null as build_null
from .plan import plan_audit as plan_audit
from .run import describe_event as describe_event
from .run import run_recipe as run_recipe
from .run_folder import RunDirectory as RunDirectory
from .run_training import tilt_config as tilt_config
from .sample import SampledSequence as SampledSequence
from .sample import run_sample as run_sample
from .sweep import Sweep as Sweep
from .sweep import parse_over as parse_over
from .sweep import run_sweep as run_sweep
from .tilt import run_tilt as run_tilt
from .tokens import run_tokens as run_tokens
