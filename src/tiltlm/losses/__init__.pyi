"""The public names, and where each lives."""

from .divergences import DIVERGENCES as DIVERGENCES
from .divergences import divergence_named as divergence_named
from .divergences import forward_kl as forward_kl
from .divergences import jensen_shannon as jensen_shannon
from .divergences import precise_kl as precise_kl
from .divergences import reverse_kl as reverse_kl
from .divergences import uniform_to_event_kl_nats as uniform_to_event_kl_nats
from .head_blocks import BLOCK_NUMBERS as BLOCK_NUMBERS
from .head_target import HeadTarget as HeadTarget
from .head_target import TargetFromHead as TargetFromHead
from .linear_divergence import HeadOptions as HeadOptions
from .linear_divergence import LinearDivergence as LinearDivergence
from .linear_divergence import linear_kl as linear_kl
from .tilt_loss import POSITIONS as POSITIONS
from .tilt_loss import Positions as Positions
from .tilt_loss import TiltLoss as TiltLoss
