"""The public names, and where each lives."""

from .audit import run_audit as run_audit
from .export import run_export as run_export
from .measure import run_measure as run_measure
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
from .verify import run_verify as run_verify
