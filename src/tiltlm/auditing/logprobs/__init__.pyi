"""The public names of `auditing.logprobs`, and where each lives."""

from .audit import LogprobsAccess as LogprobsAccess
from .auditor import TopKAuditor as TopKAuditor
from .auditor import TopKFinding as TopKFinding
from .findings import find_classes as find_classes
from .log_ratios import ShownShift as ShownShift
from .log_ratios import log_ratios_at as log_ratios_at
from .log_ratios import null_at as null_at
from .null import TopKNull as TopKNull
from .positions import Position as Position
from .positions import PositionReader as PositionReader
from .regression import TopKLogRatios as TopKLogRatios
from .regression import TopKRegression as TopKRegression
from .server_format import ServerFormat as ServerFormat
from .suspects import EndpointSuspect as EndpointSuspect
from .suspects import LocalSuspect as LocalSuspect
from .suspects import LogprobSuspect as LogprobSuspect
from .suspects import TopLogProbs as TopLogProbs
